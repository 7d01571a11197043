"""Read any image file as an upright picture, and any mask file as an upright mask; its content says how."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.files import no_file
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.dicom_files import DicomFile, checked_image
from monai_lesion.images.dicom_headers import Bounded, Opening, read_opening
from monai_lesion.images.dicom_images import START, is_dicom_start, is_whole, read_frame
from monai_lesion.images.pictures import (
    picture_size,
    read_picture,
    read_picture_mask,
    reason,
    to_bytes,
    to_rgb,
)
from monai_lesion.images.volumes import is_volume, read_volume, volume_size

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class UltrasoundImage:
    """An upright 8-bit picture and where it came from.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        spacing: millimetres from row to row and from column to column; None where the file does not say.
        path: the file.
        frame: index of the frame in a cine, counted from 0; None for a single image.
        geometry: the affine of a file that has one (NIfTI, NRRD, MHA); None for others.
        solid: whether the file is a volume of one slice; its mask is then written as one, too.
        calibration: what the file says about spacing and ultrasound regions.
        header: header of a DICOM file, without pixel data, for results that refer to the picture; the frames of a cine
            share one. None for other files.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    spacing: tuple[float, float] | None
    path: str
    frame: int | None = None
    geometry: NDArray[np.float64] | None = None
    solid: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    header: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def affine(self) -> NDArray[np.float64]:
        """The 4 x 4 RAS affine of (x, y, z), in mm or, uncalibrated, in pixels.

        Comes from the file, otherwise identity in LPS, as ITK and 3D Slicer place a picture without a position.
        """
        if self.geometry is not None:
            return self.geometry
        row, column = self.spacing or (1.0, 1.0)
        return np.diag([-column, -row, 1.0, 1.0])


def _checked(path: str | Path) -> Path:
    file = Path(path)
    if (found := no_file(file)) is not None:
        closed = found == "a folder" and not _may(file, os.R_OK | os.X_OK)
        fix = "Copy it to this computer first" if re.match(r"https?:/", str(path)) else ""
        fix = "Name the folder, or list its files" if set(str(path)) & set("*?") else fix
        raise ImageError(file, "must be an existing file", got=f"{found}, no permission" if closed else found, fix=fix)
    if file.stat().st_size == 0:
        raise ImageError(file, "must not be empty", got="0 bytes", fix="Copy or export the file again")
    if not _may(file, os.R_OK):
        raise ImageError(file, "must be readable", got="no permission")
    return file


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check_content(content: bytes) -> None:
    """Refuse bytes that only a file can be read from, for the readers of volumes know no other way."""
    if not content:
        raise ImageError("source", "must not be empty", got="0 bytes")
    if content[:4] in (b"NRRD", b"Obje") or content[344:347] == b"n+1" or content[:2] == b"\x1f\x8b":
        fix = "Save it and give its path"
        raise ImageError("source", "bytes must be of a picture or a DICOM file", got="NIfTI, NRRD or MHA", fix=fix)


class ImageFile:
    """An open image file, and a context that closes it: a DICOM file is read once, whatever you ask of it.

    Pixels are read only by :meth:`read`.

    Args:
        path: PNG, JPEG or another format of Pillow; DICOM; NIfTI, NRRD or MHA. Or the bytes of a picture or DICOM file.

    Raises:
        ImageError: when the file is missing, empty or cannot be read.
    """

    def __init__(self, path: str | Path | bytes) -> None:
        self._content = path if isinstance(path, bytes) else None
        self._stream: BinaryIO
        if isinstance(path, bytes):
            self.path, self._stream = Path("source"), BytesIO(path)
            _check_content(path)
        else:
            self.path = _checked(path)
            self._stream = Bounded(self.path)
        self.is_dicom = is_dicom_start(self._stream.read(START))
        if not self.is_dicom:
            self.close()  # Pillow and the readers of volumes open files themselves

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __fspath__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Close the file; what was read stays available."""
        self._stream.close()

    @property
    def header(self) -> Dataset | None:
        """Header of a DICOM file of any kind, without pixel data; None for other files.

        Raises:
            ImageError: when the file is damaged.
        """
        return self._opening.header if self.is_dicom else None

    @property
    def frames(self) -> int:
        """Number of frames, from the header: more than 1 for a cine.

        Raises:
            ImageError: when a DICOM file is damaged or not an image.
        """
        return self._dicom.frames if self.is_dicom else 1

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, from the header alone.

        Raises:
            ImageError: when the file is not an image.
        """
        if self.is_dicom:
            return self._dicom.rows, self._dicom.columns
        if self._content is not None:
            rows, columns = self.read().pixels.shape[:2]
            return rows, columns
        return volume_size(self.path) if is_volume(self.path) else picture_size(self.path)

    def read(self, frame: int | None = None, *, first: bool = False) -> UltrasoundImage:
        """Read the picture, or one frame, as :func:`read_image` does.

        Args:
            frame: index of the frame, counted from 0; required for a cine.
            first: without ``frame``, take the first frame of a cine, with a warning.

        Raises:
            ImageError: when the file is damaged, is not a picture, or lacks the frame.
        """
        file, name = self.path, "" if self._content is not None else str(self.path)
        if self.is_dicom:
            pixels, known, number = read_frame(self._dicom, frame, first=first)
            return UltrasoundImage(pixels, known.spacing, name, number, calibration=known, header=self._opening.header)
        if frame is not None and not (is_whole(frame) and frame == 0):
            raise ImageError(file, "frame must be 0 for a single picture", got=frame)
        if self._content is not None:
            return UltrasoundImage(read_picture(file, self._content), None, name)
        if is_volume(file):
            volume = read_volume(file)
            try:
                pixels = to_rgb(to_bytes(np.swapaxes(volume.array, 0, 1)))
            except (TypeError, ValueError) as error:
                raise ImageError(file, "must hold numbers for a picture", got=reason(error)) from error
            known = Calibration()
            if volume.spacing is not None:
                known = Calibration(volume.spacing, "mm from the file's geometry")
            return UltrasoundImage(pixels, volume.spacing, str(file), None, volume.affine, volume.solid, known)
        return UltrasoundImage(read_picture(file), None, str(file))

    @cached_property
    def _opening(self) -> Opening:
        return read_opening(self.path, self._stream)

    @cached_property
    def _dicom(self) -> DicomFile:
        return checked_image(self.path, self._stream, self._opening)


@contextmanager
def opened(source: str | Path | ImageFile) -> Iterator[ImageFile]:
    """Open a file while the context lasts; a file that was already open stays open."""
    if isinstance(source, ImageFile):
        yield source
    else:
        with ImageFile(source) as file:
            yield file


def read_image(path: str | Path | ImageFile, *, frame: int | None = None) -> UltrasoundImage:
    """Read any picture as 8-bit RGB, upright.

    A JPEG, PNG or TIFF whose Exif data say that it lies on its side is turned, as viewers do. Opacity is dropped, and
    16-bit pictures keep the highest of the bits that they use: 12 of a scanner's 12.

    Args:
        path: PNG, JPEG or another format of Pillow; DICOM; the vector NIfTI that MONAI Label makes of colour DICOM.
            Or such a file that is open already.
        frame: index of the frame, counted from 0; required for a multi-frame DICOM file.

    Raises:
        ImageError: when the file is missing or damaged, is not a picture, or lacks the frame.
    """
    with opened(path) as file:
        return file.read(frame)


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask, upright: ``(H, W)`` bool, True where :func:`read_mask_values` is above 0."""
    return np.asarray(read_mask_values(path) > 0)


def read_mask_values(path: str | Path, *, lossy: bool = False) -> NDArray[Any]:
    """Read the values of a mask, upright: ``(H, W)``, 0 for background.

    Args:
        path: NIfTI, NRRD, MHA, or PNG of any mode: grey above 0, or the one colour of a palette. Transparent pixels are
            background.
        lossy: whether a JPEG is allowed, whose values are only near those that were meant.

    Raises:
        ImageError: when the file is missing, damaged, coloured, stored with loss (JPEG), or not a mask.
    """
    file = _checked(path)
    if not is_volume(file):
        return read_picture_mask(file, lossy=lossy)
    array = read_volume(file).array
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise ImageError(file, "a mask must be grey", got="colours", fix="Save the mask with one channel")
        array = array[..., 0]
    return np.asarray(array.T)


def read_masks(paths: Sequence[str | Path]) -> NDArray[np.bool_]:
    """Read masks of one size and join them: several lesions, or several files of one.

    Raises:
        ImageError: when :func:`read_mask` fails, when ``paths`` is empty, or when two masks differ in size.
    """
    if not paths:
        raise ImageError("the mask", "must be at least one file", got="none")
    union = read_mask(paths[0])
    for path in paths[1:]:
        mask = read_mask(path)
        if mask.shape != union.shape:
            raise ImageError(path, f"must have the size of {paths[0]}, {union.shape}", got=mask.shape)
        union = union | mask
    return union


def frame_count(path: str | Path) -> int:
    """Count the frames of a file, from its header: more than 1 for a cine.

    Args:
        path: an image.

    Raises:
        ImageError: when the file is missing, or a DICOM file is damaged or not an image.
    """
    with ImageFile(path) as file:
        return file.frames


def image_size(path: str | Path, *, whole: bool = False) -> tuple[int, int]:
    """Read rows and columns from the header alone.

    Args:
        path: an image or a mask.
        whole: also refuse a truncated PNG.

    Raises:
        ImageError: when the file is missing or not an image.
    """
    with ImageFile(path) as file:
        if whole and not file.is_dicom and not is_volume(file.path):
            return picture_size(file.path, whole=True)
        return file.size
