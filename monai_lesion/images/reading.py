"""Any image file to an upright picture, any mask file to an upright mask; the content decides how it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.dicom_files import DicomFile, checked_image
from monai_lesion.images.dicom_headers import Bounded, Opening, read_opening
from monai_lesion.images.dicom_images import START, is_dicom_start, read_frame
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
        spacing: millimetres from row to row and from column to column; None where the file does not know.
        path: the file.
        frame: index of the frame in a cine, from 0; None for a single image.
        geometry: the affine of a file that has one (NIfTI, NRRD, MHA); None for others.
        solid: whether the file is a volume of one slice, whose mask then is one too.
        calibration: what the file says of its spacing, and of its ultrasound regions.
        header: of a DICOM file, all before its pixel data, which what is made of the picture refers to; the frames of a
            cine share one. None of other files.
    """

    pixels: NDArray[np.uint8]
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

        The file's own, else identity in LPS, as ITK and 3D Slicer place a picture without a position.
        """
        if self.geometry is not None:
            return self.geometry
        row, column = self.spacing or (1.0, 1.0)
        return np.diag([-column, -row, 1.0, 1.0])


def _checked(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise ImageError(file, "must be an existing file", got="nothing there" if not file.exists() else "a folder")
    if file.stat().st_size == 0:
        raise ImageError(file, "must not be empty", got="0 bytes", fix="Copy or export the file again")
    if not os.access(file, os.R_OK):
        raise ImageError(file, "must be readable", got="no permission")
    return file


class ImageFile:
    """An image file, open, and a context that closes it: a DICOM file is read once, however much is asked of it.

    Nothing of the pixels is read before :meth:`read`.

    Args:
        path: PNG, JPEG or another format of Pillow; DICOM; NIfTI, NRRD or MHA.

    Raises:
        ImageError: when the file is missing, empty or cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
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
        """Close the file; what was read of it stays."""
        self._stream.close()

    @property
    def header(self) -> Dataset | None:
        """Of a DICOM file of any kind, all before its pixel data; None of other files.

        Raises:
            ImageError: when it is damaged.
        """
        return self._opening.header if self.is_dicom else None

    @property
    def frames(self) -> int:
        """How many there are, from the header: more than 1 for a cine.

        Raises:
            ImageError: for a DICOM file that is damaged or no image.
        """
        return self._dicom.frames if self.is_dicom else 1

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, from the header alone.

        Raises:
            ImageError: when it is no image.
        """
        if self.is_dicom:
            return self._dicom.rows, self._dicom.columns
        return volume_size(self.path) if is_volume(self.path) else picture_size(self.path)

    def read(self, frame: int | None = None, *, first: bool = False) -> UltrasoundImage:
        """The picture, or one of them, as :func:`read_image` reads it.

        Args:
            frame: index of the frame of a cine, from 0; needed there.
            first: without ``frame``, take the first frame of a cine, with a warning.

        Raises:
            ImageError: when the file is damaged, no picture, or has no such frame.
        """
        file = self.path
        if self.is_dicom:
            pixels, known, number = read_frame(self._dicom, frame, first=first)
            return UltrasoundImage(
                pixels, known.spacing, str(file), number, calibration=known, header=self._opening.header
            )
        if frame not in (None, 0):
            raise ImageError(file, "frame must be 0 for a single picture", got=frame)
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
    """A file, open for as long as the context lasts; one that was open before stays open."""
    if isinstance(source, ImageFile):
        yield source
    else:
        with ImageFile(source) as file:
            yield file


def read_image(path: str | Path | ImageFile, *, frame: int | None = None) -> UltrasoundImage:
    """Read a picture, upright, as 8-bit RGB, whatever came in.

    A JPEG, PNG or TIFF whose Exif data say that it lies on its side is turned, as viewers do; opacity is dropped;
    16-bit pictures keep their high byte.

    Args:
        path: PNG, JPEG or another format of Pillow; DICOM; the vector NIfTI that MONAI Label makes of colour DICOM.
            Or such a file that is open already.
        frame: index of the frame of a multi-frame DICOM, from 0; needed there.

    Raises:
        ImageError: when the file is missing, damaged, no picture, or has no such frame.
    """
    with opened(path) as file:
        return file.read(frame)


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask, upright: ``(H, W)`` bool, True where the file is above 0.

    Args:
        path: NIfTI, NRRD, MHA, or PNG of any mode: grey above 0, or the one colour of a palette; what is transparent
            is background.

    Raises:
        ImageError: when the file is missing, damaged, coloured, stored with loss (JPEG), or no mask.
    """
    file = _checked(path)
    if not is_volume(file):
        return read_picture_mask(file)
    array = read_volume(file).array
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise ImageError(file, "a mask must be grey", got="colours", fix="Save the mask with one channel")
        array = array[..., 0]
    return np.asarray(array.T > 0)


def read_masks(paths: Sequence[str | Path]) -> NDArray[np.bool_]:
    """The union of masks of one size, each read by :func:`read_mask`: several lesions, or several files of one.

    Raises:
        ImageError: as :func:`read_mask`, when there is none, or when two differ in size.
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
    """How many frames a file has, from its header: more than 1 for a cine.

    Args:
        path: an image.

    Raises:
        ImageError: when the file is missing, or a DICOM file that is damaged or no image.
    """
    with ImageFile(path) as file:
        return file.frames


def image_size(path: str | Path, *, whole: bool = False) -> tuple[int, int]:
    """Rows and columns, from the header alone.

    Args:
        path: an image or a mask.
        whole: also refuse a PNG that was cut off.

    Raises:
        ImageError: when the file is missing or no image.
    """
    with ImageFile(path) as file:
        if whole and not file.is_dicom and not is_volume(file.path):
            return picture_size(file.path, whole=True)
        return file.size
