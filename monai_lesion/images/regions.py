"""The regions of an ultrasound image: where the tissue is shown, and how large its pixels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

TWO_DIMENSIONAL = 1  # RegionSpatialFormat
TISSUE = 1  # RegionDataType
BARS = (0xD, 0xE)  # RegionDataType of a grey or colour bar, which shows nothing of the patient
OVER_TIME = (2, 3, 4)  # RegionSpatialFormat of an M-mode, a spectrum and a waveform
CENTIMETRE = 3  # PhysicalUnitsXDirection, PhysicalUnitsYDirection
SCALES = (1e-5, 100.0)  # millimetres a pixel; what lies outside is a mistake of the header
SMALLEST = 16  # rows and columns of a region worth a crop

Spacing = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """A box of the image, as Python slices it, in which one two-dimensional picture of tissue is shown.

    Args:
        top: first row.
        left: first column.
        bottom: row after the last.
        right: column after the last.
        spacing: millimetres from row to row and from column to column; None where the header does not say.
        inside: whether the box lies in the image.
        metric: whether its units are centimetres.
    """

    top: int
    left: int
    bottom: int
    right: int
    spacing: Spacing | None = None
    inside: bool = True
    metric: bool = field(default=True, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box in an array ``(H, W, ...)``."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def holds(self, mask: ArrayLike) -> bool:
        """Whether all of a mask ``(H, W)`` lies in the box.

        Example:
            >>> Region(0, 0, 2, 2).holds([[0, 1, 0], [0, 0, 0]]), Region(0, 0, 2, 2).holds([[0, 1, 1], [0, 0, 0]])
            (True, False)
        """
        rows, columns = np.nonzero(np.asarray(mask))
        return bool(
            (rows >= self.top).all()
            and (rows < self.bottom).all()
            and (columns >= self.left).all()
            and (columns < self.right).all()
        )

    def to_dict(self) -> dict[str, int]:
        """The box, as the JSON file holds it."""
        return {"top": self.top, "left": self.left, "bottom": self.bottom, "right": self.right}


def tissue_regions(dataset: Any) -> tuple[Region, ...]:
    """Find the two-dimensional tissue regions of a header, in its order; traces, flow and colour bars do not count.

    Args:
        dataset: a ``pydicom.Dataset`` with ``Rows`` and ``Columns``.

    Source:
        DICOM PS3.3, C.8.5.5. The corners are pixels of the region; writers that name the corner behind the last
        pixel, which then lies on the image's very edge, are understood.
    """
    found = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        if item.get("RegionSpatialFormat") != TWO_DIMENSIONAL or item.get("RegionDataType") != TISSUE:
            continue
        left, top, right, bottom = (
            _number(item.get(f"RegionLocation{end}")) for end in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        )
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        inside = 0 <= left <= right <= columns and 0 <= top <= bottom <= rows
        bottom, right = min(int(bottom) + 1, rows), min(int(right) + 1, columns)
        found.append(Region(int(top), int(left), bottom, right, _spacing(item), inside, _is_metric(item)))
    return tuple(found)


def has_other_scales(dataset: Any) -> bool:
    """Whether some part of the picture has another scale than its tissue: an M-mode, a spectrum, a trace.

    Args:
        dataset: a ``pydicom.Dataset``.

    Source:
        DICOM PS3.3, C.8.5.5.1.1 (Region Spatial Format) and C.8.5.5.1.2 (Region Data Type).
    """
    steps = set()
    try:
        for item in dataset.get("SequenceOfUltrasoundRegions") or ():
            if item.get("RegionSpatialFormat") in OVER_TIME:
                return True
            if item.get("RegionSpatialFormat") == TWO_DIMENSIONAL and item.get("RegionDataType") not in BARS:
                steps.add(_spacing(item))
    except Exception:  # pydicom converts when asked, and its converters raise many kinds
        return True
    return len(steps) > 1


def outside_of(mask: ArrayLike, regions: Sequence[Region]) -> str:
    """Say that a lesion lies outside the tissue, or in part; empty when it does not, or when the header says nothing.

    Args:
        mask: ``(H, W)``, above 0 in the lesion.
        regions: of the header; they count when all of them lie in the image.

    Example:
        >>> outside_of([[0, 0, 1], [0, 0, 0]], [Region(0, 0, 2, 2)]), outside_of([[1, 0], [0, 0]], [Region(0, 0, 2, 2)])
        ('outside every tissue region of the header', '')
    """
    lesion = np.asarray(mask) > 0
    if not regions or not lesion.any() or not all(region.inside for region in regions):
        return ""
    if not any(lesion[region.slices].any() for region in regions):
        return "outside every tissue region of the header"
    rest = lesion.copy()
    for region in regions:
        rest[region.slices] = False
    return "partly outside the tissue regions of the header" if rest.any() else ""


def region_of_interest(regions: Sequence[Region]) -> Region | None:
    """Choose the region to show the network: the largest that lies in the image.

    Of regions of equal size, such as the halves of a dual screen, it takes the upper one, then the left one, because a
    picture has one result. Segment the halves separately if both matter.

    Example:
        >>> region_of_interest([Region(0, 0, 50, 40), Region(0, 50, 90, 130), Region(0, 140, 90, 220)])
        Region(top=0, left=50, bottom=90, right=130, spacing=None, inside=True)
    """
    usable = [region for region in regions if region.inside and min(region.shape) >= SMALLEST]
    return min(usable, key=lambda box: (-box.shape[0] * box.shape[1], box.top, box.left), default=None)


def _number(value: Any) -> float:
    """A corner; absent is 0, and what is not a number lies outside any image."""
    try:
        return float(int(value or 0))
    except (TypeError, ValueError, OverflowError):
        return -1.0


def _spacing(item: Any) -> Spacing | None:
    try:
        # A step may be negative: it counts from the reference pixel.
        row, column = abs(float(item.get("PhysicalDeltaY") or 0)), abs(float(item.get("PhysicalDeltaX") or 0))
    except (TypeError, ValueError):
        return None
    spacing = round(row * 10, 9), round(column * 10, 9)
    return spacing if _is_metric(item) and all(map(is_scale, spacing)) else None


def is_scale(step: float) -> bool:
    """Whether a picture of the body may have pixels of so many millimetres.

    Example:
        >>> [is_scale(step) for step in (0.1, 0.0, 1e-9, 500.0, float("nan"))]
        [True, False, False, False, False]
    """
    return SCALES[0] <= step <= SCALES[1]


def _is_metric(item: Any) -> bool:
    return (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")) == (CENTIMETRE, CENTIMETRE)
