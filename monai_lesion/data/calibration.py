"""From pixels to millimetres: what a DICOM ultrasound header says of its pixel spacing."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

TWO_DIMENSIONAL = 1  # RegionSpatialFormat
TISSUE = 1  # RegionDataType
CENTIMETRE = 3  # PhysicalUnitsXDirection, PhysicalUnitsYDirection


def spacing_of(dataset: Any) -> tuple[float, float] | None:
    """The pixel spacing of a DICOM ultrasound image, or None where the header does not know it for certain.

    The *Sequence of Ultrasound Regions* counts when its 2-D tissue regions lie inside the image, are in centimetres
    and agree; else ``PixelSpacing``; anything contradictory is refused, with the reason in the log.

    Args:
        dataset: a ``pydicom.Dataset`` with ``Rows`` and ``Columns``.

    Returns:
        Millimetres from row to row and from column to column.

    Source:
        DICOM PS3.3, C.8.5.5 (US Region Calibration) and 10.7.1.1 (Pixel Spacing).
    """
    steps: set[tuple[float, float]] = set()
    for region in dataset.get("SequenceOfUltrasoundRegions") or ():
        if region.get("RegionSpatialFormat") != TWO_DIMENSIONAL or region.get("RegionDataType") != TISSUE:
            continue
        right, bottom = region.get("RegionLocationMaxX1", 0), region.get("RegionLocationMaxY1", 0)
        if right > dataset.Columns or bottom > dataset.Rows:
            logger.warning("calibration refused: an ultrasound region reaches outside the image")
            return None
        units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
        row, column = abs(region.get("PhysicalDeltaY", 0.0)), abs(region.get("PhysicalDeltaX", 0.0))
        if units == (CENTIMETRE, CENTIMETRE) and row > 0 and column > 0:
            steps.add((round(row * 10, 9), round(column * 10, 9)))
    if len(steps) > 1:
        logger.warning("calibration refused: the ultrasound regions differ in scale")
        return None
    if steps:
        return steps.pop()
    spacing = dataset.get("PixelSpacing")
    if spacing is not None and len(spacing) == 2 and min(spacing) > 0:
        return float(spacing[0]), float(spacing[1])
    return None
