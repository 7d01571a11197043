"""The regions of an ultrasound image: where the tissue is shown, and how large its pixels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

TWO_DIMENSIONAL = 1  # RegionSpatialFormat
TISSUE = 1  # RegionDataType
CENTIMETRE = 3  # PhysicalUnitsXDirection, PhysicalUnitsYDirection
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
    """

    top: int
    left: int
    bottom: int
    right: int
    spacing: Spacing | None = None
    inside: bool = True

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
    """The two-dimensional tissue regions of a header, in its order; traces, flow and colour bars are none.

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
        found.append(Region(int(top), int(left), bottom, right, _spacing(item), inside))
    return tuple(found)


def region_of_interest(regions: Sequence[Region]) -> Region | None:
    """The region that the network is shown: the largest that lies in the image.

    Of regions of one size, as the halves of a dual screen, it is the upper and then the left one: one picture holds one
    result. Segment the halves of a screen apart where both matter.

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
    units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
    try:
        # A step may be negative: it counts from the reference pixel.
        row, column = abs(float(item.get("PhysicalDeltaY") or 0)), abs(float(item.get("PhysicalDeltaX") or 0))
    except (TypeError, ValueError):
        return None
    known = units == (CENTIMETRE, CENTIMETRE) and 0 < row < np.inf and 0 < column < np.inf
    return (round(row * 10, 9), round(column * 10, 9)) if known else None
