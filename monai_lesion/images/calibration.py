"""From pixels to millimetres: what a DICOM ultrasound header says of its pixel spacing."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from monai_lesion.images.regions import Region, Spacing, is_scale, tissue_regions

logger = logging.getLogger(__name__)

AGREEMENT = 0.01  # the share by which two statements of one spacing may differ
FROM_REGION = "mm from ultrasound region"
FROM_PIXEL_SPACING = "mm from Pixel Spacing"


@dataclass(frozen=True)
class Calibration:
    """Millimetres a pixel, and how they are known.

    Args:
        spacing: from row to row and from column to column; None where sizes stay in pixels.
        source: ``"mm from ..."`` or ``"none: "`` and the reason.
        regions: the two-dimensional tissue regions of the header.
        refused: why the header is not believed; empty when it is, and when it says nothing.
        stated: ``PixelSpacing``, if the header has it.

    Example:
        >>> Calibration().source
        'none: the file does not know its scale'
    """

    spacing: Spacing | None = None
    source: str = "none: the file does not know its scale"
    regions: tuple[Region, ...] = ()
    refused: str = ""
    stated: Spacing | None = None

    def of(self, mask: ArrayLike) -> Calibration:
        """The calibration that holds for a lesion: that of the one region which it lies in.

        Args:
            mask: ``(H, W)``, above 0 in the lesion.
        """
        if not self.regions or not all(region.inside for region in self.regions):
            return self
        around = [region for region in self.regions if region.holds(mask)]
        if not around:
            return self._none("the lesion does not lie in one ultrasound region")
        why = _contradiction(around, self.stated)
        return self._none(why) if why else self._known(around[0].spacing)

    @property
    def reason(self) -> str:
        """Why sizes stay in pixels; empty where they do not.

        Example:
            >>> Calibration().reason
            'the file does not know its scale'
        """
        return "" if self.spacing is not None else self.source.removeprefix("none: ")

    def _none(self, why: str) -> Calibration:
        return Calibration(None, f"none: {why}", self.regions, why, self.stated)

    def _known(self, spacing: Spacing | None) -> Calibration:
        return Calibration(spacing, FROM_REGION, self.regions, "", self.stated)


def calibration_of(dataset: Any) -> Calibration:
    """The calibration of a DICOM ultrasound image.

    The *Sequence of Ultrasound Regions* counts when its 2-D tissue regions lie inside the image, are in centimetres
    and agree with ``PixelSpacing``; without such regions ``PixelSpacing`` counts. Regions of different scale have no
    common spacing, but :meth:`Calibration.of` knows that of a lesion.

    Args:
        dataset: a ``pydicom.Dataset`` with ``Rows`` and ``Columns``.

    Source:
        DICOM PS3.3, C.8.5.5 (US Region Calibration) and 10.7.1.1 (Pixel Spacing).
    """
    try:
        regions, stated = tissue_regions(dataset), _pixel_spacing(dataset)
    except Exception:  # pydicom converts when asked, and its converters raise many kinds
        why = "the ultrasound regions are damaged"
        return Calibration(None, f"none: {why}", refused=why)
    if not regions:
        return Calibration() if stated is None else Calibration(stated, FROM_PIXEL_SPACING, stated=stated)
    found = Calibration(None, "", regions, "", stated)
    why = _contradiction(regions, stated)
    return found._none(why) if why else found._known(regions[0].spacing)


def spacing_of(dataset: Any) -> Spacing | None:
    """The pixel spacing of a whole DICOM ultrasound image, or None where the header does not know it for certain.

    Anything contradictory is refused, with the reason in the log.

    Args:
        dataset: a ``pydicom.Dataset`` with ``Rows`` and ``Columns``.

    Returns:
        Millimetres from row to row and from column to column.

    Example:
        >>> from pydicom import Dataset
        >>> dataset = Dataset()
        >>> dataset.PixelSpacing = [0.1, 0.2]
        >>> spacing_of(dataset)
        (0.1, 0.2)
    """
    found = calibration_of(dataset)
    if found.refused:
        name = getattr(dataset, "filename", None) or "DICOM"
        logger.warning("%s: calibration refused: %s", name, found.refused)
    return found.spacing


def _contradiction(regions: Sequence[Region], stated: Spacing | None) -> str:
    """Why the regions cannot be trusted together; empty when they can."""
    if not all(region.inside for region in regions):
        return "an ultrasound region reaches outside the image"
    steps = [region.spacing for region in regions]
    if not all(region.metric for region in regions):
        return "an ultrasound region is not in centimetres"
    if None in steps:
        return "an ultrasound region has no valid pixel size"
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


def _pixel_spacing(dataset: Any) -> Spacing | None:
    try:
        row, column = (float(step) for step in dataset.get("PixelSpacing") or ())
    except (TypeError, ValueError):  # absent, empty or not two numbers
        return None
    return (row, column) if is_scale(row) and is_scale(column) else None
