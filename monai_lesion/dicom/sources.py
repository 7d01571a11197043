"""The ultrasound frame that a result belongs to: its header, checked before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.dicom_headers import named
from monai_lesion.images.reading import ImageFile, opened

if TYPE_CHECKING:
    from pydicom import Dataset

SINGLE_FRAME_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
MULTI_FRAME_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
NO_SCALE = "the image does not state its scale"  # why sizes are in pixels, unless something else is known
IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One frame of a DICOM image.

    Args:
        header: its attributes; the pixels are not looked at.
        frame: index from 0 in a file of several frames; None for a single image.
        name: the file, for messages.
    """

    header: Dataset
    frame: int | None
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header.Rows), int(self.header.Columns)

    @property
    def frame_number(self) -> int | None:
        """The frame as DICOM counts it, from 1."""
        return None if self.frame is None else self.frame + 1

    @property
    def instance_number(self) -> int:
        """A number for the result that sorts as the source does."""
        number = _whole(self.header, "InstanceNumber") or 1
        return number if self.frame is None else number % 100_000 * 10_000 + self.frame + 1

    @property
    def series_number(self) -> int:
        """The source's series number, 0 when it has none."""
        return _whole(self.header, "SeriesNumber") or 0

    def checked_mask(self, mask: ArrayLike) -> NDArray[np.uint8]:
        """The mask as 0 and 1.

        Raises:
            InputError: when it is not a mask or has another size than the source.
        """
        array = np.asarray(mask)
        if array.shape != self.shape:
            fix = "Take the mask in the picture's own size, not the network's"
            rule = f"must have the rows and columns {self.shape} of {self.name}"
            raise InputError("mask", rule, got=array.shape, fix=fix)
        if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            rule = "must hold 0 and 1 only"
            raise InputError("mask", rule, got=f"{array.dtype} with other values", fix="Threshold it first")
        return array.astype(np.uint8)


Source: TypeAlias = "SourceFrame | Dataset | str | Path"


def open_source(source: Source, frame: int | None = None, *, name: str = "") -> SourceFrame:
    """Read the header of a source, or take one that is read already, and check what every result needs of it.

    Args:
        source: a file, or its dataset; the pixels may be left out. A frame that was checked already is given back.
        frame: index from 0; needed when there are several frames.
        name: name of a dataset, for messages; empty for the name of its file.

    Raises:
        ImageError: when the file cannot be read.
        InputError: when it is another kind of object, lacks an identifier or its size, or has no such frame.

    Source:
        DICOM PS3.4, B.5 (Standard SOP Classes); the retired ones in its editions before 1998.

    Example:
        >>> from pydicom import Dataset
        >>> open_source(Dataset())
        Traceback (most recent call last):
        monai_lesion.errors.InputError: source: SOPClassUID (0008,0016) must not be missing or empty...
    """
    from pydicom import Dataset

    if isinstance(source, SourceFrame):
        if frame not in (None, source.frame):
            raise InputError(source.name, f"frame must be {source.frame}, which was opened", got=frame)
        return source
    header = source if isinstance(source, Dataset) else header_of(source)
    name = name or (str(getattr(header, "filename", None) or "source") if header is source else str(source))
    for keyword in IDENTIFIERS:
        if not value_of(header, keyword):
            _missing(name, keyword)
    if header.SOPClassUID not in SOP_CLASSES:
        rule = "SOPClassUID (0008,0016) must be that of an ultrasound or secondary capture image"
        raise InputError(
            name, rule, got=named(header, "SOPClassUID"), fix="Take the image itself; other objects cannot be a source"
        )
    for keyword in ("Rows", "Columns"):
        if not _whole(header, keyword):
            _missing(name, keyword)
    frames = _whole(header, "NumberOfFrames") or 1
    if frames == 1 and frame in (None, 0):
        return SourceFrame(header, None, name)
    if frame is None:
        fix = "Name a frame, counted from 0; each frame has its own results"
        raise InputError(name, "a cine needs a frame number", got=f"{frames} frames", fix=fix)
    if not 0 <= frame < frames:
        raise InputError(name, f"frame must be between 0 and {frames - 1}", got=frame)
    return SourceFrame(header, frame, name)


def header_of(source: str | Path | ImageFile) -> Dataset:
    """The header of a DICOM file, within the bounds of the readers of pictures.

    Raises:
        ImageError: when the file cannot be read or is no DICOM.
    """
    with opened(source) as file:
        if file.header is None:
            raise ImageError(file.path, "must be a readable DICOM image", got="another kind of file")
        return file.header


def _missing(name: str, keyword: str) -> None:
    from pydicom.datadict import tag_for_keyword
    from pydicom.tag import Tag

    rule = f"{keyword} {Tag(tag_for_keyword(keyword) or 0)} must not be missing or empty"
    raise InputError(name, rule, fix="Export the image again: without it no result can refer to the image")


def value_of(header: Dataset, keyword: str) -> Any:
    """An attribute's value; None where it is absent or damaged, without pydicom's warnings, which quote it.

    Example:
        >>> from pydicom import Dataset
        >>> value_of(Dataset(), "InstanceNumber") is None
        True
    """
    from pydicom import config

    try:
        with config.disable_value_validation():
            return header.get(keyword)
    except Exception:  # pydicom converts when asked, and its converters raise many kinds
        return None


def _whole(header: Dataset, keyword: str) -> int | None:
    """A positive whole number, or None for whatever else stands there."""
    try:
        number = int(value_of(header, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number > 0 else None
