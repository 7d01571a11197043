"""From pixels to millimetres: what a DICOM ultrasound header says of its pixel spacing."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger(__name__)

TWO_DIMENSIONAL = 1  # RegionSpatialFormat
TISSUE = 1  # RegionDataType
CENTIMETRE = 3  # PhysicalUnitsXDirection, PhysicalUnitsYDirection
AGREEMENT = 0.01  # the share by which two statements of one spacing may differ

Spacing = tuple[float, float]


def spacing_of(dataset: Any) -> Spacing | None:
    """The pixel spacing of a DICOM ultrasound image, or None where the header does not know it for certain.

    The *Sequence of Ultrasound Regions* counts when its 2-D tissue regions lie inside the image, are in centimetres
    and agree with each other and with ``PixelSpacing``; without such regions ``PixelSpacing`` counts. Anything
    contradictory is refused, with the reason in the log.

    Args:
        dataset: a ``pydicom.Dataset`` with ``Rows`` and ``Columns``.

    Returns:
        Millimetres from row to row and from column to column.

    Source:
        DICOM PS3.3, C.8.5.5 (US Region Calibration) and 10.7.1.1 (Pixel Spacing).

    Example:
        >>> from pydicom import Dataset
        >>> dataset = Dataset()
        >>> dataset.PixelSpacing = [0.1, 0.2]
        >>> spacing_of(dataset)
        (0.1, 0.2)
    """
    regions = [
        region
        for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == TWO_DIMENSIONAL and region.get("RegionDataType") == TISSUE
    ]
    stated = _pixel_spacing(dataset)
    if not regions:
        return stated
    why = _contradiction(dataset, regions, stated)
    if why:
        logger.warning("%s: calibration refused: %s", getattr(dataset, "filename", None) or "DICOM", why)
        return None
    return _region_spacing(regions[0])


def _contradiction(dataset: Any, regions: Sequence[Any], stated: Spacing | None) -> str:
    """Why the regions cannot be trusted; empty when they can."""
    for region in regions:
        box = [region.get(f"RegionLocation{end}") or 0 for end in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if min(box) < 0 or box[2] > dataset.Columns or box[3] > dataset.Rows:
            return "an ultrasound region reaches outside the image"
    steps = [_region_spacing(region) for region in regions]
    if None in steps:
        return "an ultrasound region is not in centimetres"
    if not all(_agree(steps[0], step) for step in steps):
        return "the ultrasound regions differ in scale"
    if stated is not None and not _agree(steps[0], stated):
        return "Pixel Spacing contradicts the ultrasound regions"
    return ""


def _agree(one: Spacing | None, other: Spacing | None) -> bool:
    return (
        one is not None
        and other is not None
        and all(math.isclose(a, b, rel_tol=AGREEMENT) for a, b in zip(one, other, strict=True))
    )


def _region_spacing(region: Any) -> Spacing | None:
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    # A step may be negative: it counts from the reference pixel.
    row, column = abs(region.get("PhysicalDeltaY") or 0.0), abs(region.get("PhysicalDeltaX") or 0.0)
    known = units == (CENTIMETRE, CENTIMETRE) and row > 0 and column > 0
    return (round(row * 10, 9), round(column * 10, 9)) if known else None


def _pixel_spacing(dataset: Any) -> Spacing | None:
    try:
        row, column = (float(step) for step in dataset.get("PixelSpacing") or ())
    except (TypeError, ValueError):  # absent, empty or not two numbers
        return None
    return (row, column) if row > 0 and column > 0 else None
