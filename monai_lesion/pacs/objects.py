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
from monai_lesion.images.dicom_headers import instance_named, is_uid, named
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
    seg_geometry: str = "none",
) -> Iterator[list[Path]]:
    """Segment an image, frame by frame, and write SEG, SR and SC of each.

    Args:
        segmenter: a segmenter such as :class:`monai_lesion.LesionSegmenter`, called with the open file and ``frame=``.
        source: the image.
        folder: where to write the objects.
        frame: frame of a cine, counted from 0; None for every frame.
        radiomics: folder for image, mask and a table for PyRadiomics; None writes none.
        seg_type: type of the SEG, ``"binary"`` or ``"labelmap"``.
        seg_geometry: ``"picture"`` gives the SEG a geometry of the picture's own.

    Yields:
        The objects of one frame.

    Raises:
        InputError: when the image cannot be segmented.
    """
    with opened(source) as file:
        header = header_of(file)
        for number in frames_of(file, frame):
            result = segmenter(file, frame=number)
            if result.verdict is not None:
                place = "" if number is None else f", frame {number}"
                logger.info("%s%s: %s", instance_named(header.get("SOPInstanceUID", "")), place, result.verdict.words())
            name = "result" if number is None else f"result_{number}"
            if radiomics is not None:
                from monai_lesion.pacs.radiomics import export_radiomics

                export_radiomics(result, radiomics, name=_file_name(header, number))
            yield result.save(folder, FORMATS, name=name, seg_type=seg_type, seg_geometry=seg_geometry)


def frames_of(file: ImageFile, frame: int | None) -> list[int | None]:
    """The frames of an image to segment, None for one that has a single frame; warns of burned-in annotation."""
    header = header_of(file)
    if str(value_of(header, "BurnedInAnnotation") or "") == "YES":
        text = "%s has burned-in annotation, and so has its Secondary Capture; it may name the patient"
        logger.warning(text, instance_named(header.get("SOPInstanceUID", "")))
    if file.frames == 1:
        return [None]
    return [frame] if frame is not None else list(range(file.frames))


def _file_name(header: Dataset, frame: int | None) -> str:
    """Name a file by the image's identifier, which does not name a patient."""
    uid = str(header.SOPInstanceUID)
    if not is_uid(uid):
        raise InputError("SOPInstanceUID", "must consist of digits and dots", got=named(header, "SOPInstanceUID"))
    return uid if frame is None else f"{uid}_{frame}"


def failure(error: Exception, file: Path, name: str) -> str:
    """Say what went wrong with an instance; of foreign errors only the type, since their text may quote the patient."""
    if isinstance(error, InputError):
        return str(error).replace(str(file), name).replace(file.name, name)
    return f"{name}: {type(error).__name__}"
