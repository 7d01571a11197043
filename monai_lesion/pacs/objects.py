"""Make the objects that go back into an archive, from one of its images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from monai_lesion.dicom.identity import MANUFACTURER
from monai_lesion.dicom.sources import header_of, value_of
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.reading import ImageFile, opened

if TYPE_CHECKING:
    from pydicom import Dataset

    from monai_lesion.segmentation.results import Segmentation

logger = logging.getLogger(__name__)

FORMATS = ("dicom-seg", "dicom-sr", "sc")
OWN_MODALITIES = ("SEG", "SR", "OT")

Segmenter = Callable[..., "Segmentation"]


def is_own(manufacturer: str, modality: str) -> bool:
    """Whether an object is an earlier result of ours; the simulated cases are ours too, but images.

    Example:
        >>> is_own("monai_lesion", "OT"), is_own("monai_lesion", "US"), is_own("Scanner", "OT")
        (True, False, False)
    """
    return manufacturer == MANUFACTURER and modality in OWN_MODALITIES


def why_not(header: Dataset) -> str | None:
    """Say why an object should not be segmented; None for an image that should."""
    if str(value_of(header, "SOPClassUID") or "") not in SOP_CLASSES:
        return "no ultrasound image"
    if is_own(str(value_of(header, "Manufacturer") or ""), str(value_of(header, "Modality") or "")):
        return "an earlier result"
    return None


def make_objects(
    segmenter: Segmenter,
    source: str | Path | ImageFile,
    folder: Path,
    *,
    frame: int | None = None,
    radiomics: Path | None = None,
    seg_type: str = "binary",
) -> Iterator[list[Path]]:
    """Segment an image, frame by frame, and write SEG, SR and SC of each.

    Args:
        segmenter: a segmenter such as :class:`monai_lesion.LesionSegmenter`, called with the open file and ``frame=``.
        source: the image.
        folder: where to write the objects.
        frame: frame of a cine, counted from 0; None for every frame.
        radiomics: folder for image, mask and a table for PyRadiomics; None writes none.
        seg_type: type of the SEG, ``"binary"`` or ``"labelmap"``.

    Yields:
        The objects of one frame.

    Raises:
        InputError: when the image cannot be segmented.
    """
    with opened(source) as file:
        header = header_of(file)
        if str(value_of(header, "BurnedInAnnotation") or "") == "YES":
            text = "instance %s has burned-in annotation, and so has its Secondary Capture; it may name the patient"
            logger.warning(text, header.SOPInstanceUID)
        frames = file.frames
        wanted: list[int | None] = [None] if frames == 1 else [frame] if frame is not None else list(range(frames))
        for number in wanted:
            result = segmenter(file, frame=number)
            name = "result" if number is None else f"result_{number}"
            if radiomics is not None:
                from monai_lesion.pacs.radiomics import export_radiomics

                export_radiomics(result, radiomics, name=_file_name(header, number))
            yield result.save(folder, FORMATS, name=name, seg_type=seg_type)


def _file_name(header: Dataset, frame: int | None) -> str:
    """Name a file by the image's identifier, which does not name a patient."""
    uid = str(header.SOPInstanceUID)
    if not uid.replace(".", "").isdigit():
        raise InputError("SOPInstanceUID", "must consist of digits and dots", got=uid)
    return uid if frame is None else f"{uid}_{frame}"


def failure(error: Exception, file: Path, uid: str) -> str:
    """Say what went wrong with an instance; of foreign errors only the type, since their text may quote the patient."""
    if isinstance(error, InputError):
        return str(error).replace(str(file), f"instance {uid}").replace(file.name, f"instance {uid}")
    return f"instance {uid}: {type(error).__name__}"
