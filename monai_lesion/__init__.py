"""Finds and measures lesions in ultrasound images. Research use only; not a medical device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai_lesion._version import __version__

if TYPE_CHECKING:
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
    from monai_lesion.segmentation.results import Segmentation
    from monai_lesion.segmentation.tables import ResultTable

# Imported on first use: `import monai_lesion` needs neither torch nor MONAI.
_LAZY = {
    "LesionSegmenter": "monai_lesion.segmentation.lesion_segmenters",
    "ResultTable": "monai_lesion.segmentation.tables",
    "Segmentation": "monai_lesion.segmentation.results",
}

__all__ = ["LesionSegmenter", "ResultTable", "Segmentation", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'monai_lesion' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, those that are not imported yet too."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
