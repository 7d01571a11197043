"""Electronic calipers: find, remove, draw and move them, and measure how much a network relies on them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_lesion.calipers.detection import Annotations, Box, DottedLine, Marker, find_annotations
    from monai_lesion.calipers.markers import draw_calipers
    from monai_lesion.calipers.removal import annotation_mask, inpaint, remove_calipers

# Imported when first used: the command line opens this package for its command alone.
_PLACES = {
    "detection": ("Annotations", "Box", "DottedLine", "Marker", "find_annotations"),
    "markers": ("draw_calipers",),
    "removal": ("annotation_mask", "inpaint", "remove_calipers"),
}
__all__ = [
    "Annotations",
    "Box",
    "DottedLine",
    "Marker",
    "annotation_mask",
    "draw_calipers",
    "find_annotations",
    "inpaint",
    "remove_calipers",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"monai_lesion.calipers.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
