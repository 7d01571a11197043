"""One reader for PNG, JPEG and DICOM images, one for PNG, NIfTI, NRRD and MHA masks.

``read_image`` and ``read_mask`` give upright arrays to library users; ``UltrasoundReader`` and ``MaskReader`` give the
same pixels to ``LoadImaged`` in MONAI's own order, (W, H).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from numpy.typing import NDArray

from monai_lesion.data.calibration import spacing_of
from monai_lesion.errors import ImageError

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class UltrasoundImage:
    """An upright 8-bit picture and where it came from.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        spacing: millimetres from row to row and from column to column; None where the file does not know.
        path: the file.
        frame: index of the frame in a cine, from 0; None for a single image.
    """

    pixels: NDArray[np.uint8]
    spacing: tuple[float, float] | None
    path: str
    frame: int | None = None

    @property
    def affine(self) -> NDArray[np.float64]:
        """The 4 x 4 RAS affine of (x, y, z), in mm or, uncalibrated, in pixels.

        Identity in LPS, as ITK and 3D Slicer place a picture without a position.
        """
        row, column = self.spacing or (1.0, 1.0)
        return np.diag([-column, -row, 1.0, 1.0])


def _checked(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise ImageError(file, "must be an existing file", got="nothing there" if not file.exists() else "a folder")
    if file.stat().st_size == 0:
        raise ImageError(file, "must not be empty", got="0 bytes", fix="Copy or export the file again")
    return file


def is_dicom(path: str | Path) -> bool:
    """Whether the file carries DICOM's preamble."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def read_image(path: str | Path, *, frame: int | None = None) -> UltrasoundImage:
    """Read a picture, upright, as 8-bit RGB, whatever came in.

    Args:
        path: PNG, JPEG or another format of Pillow; DICOM; the vector NIfTI that MONAI Label makes of colour DICOM.
        frame: index of the frame of a multi-frame DICOM, from 0; needed there.

    Raises:
        ImageError: when the file is missing, damaged, no picture, or has no such frame.
    """
    file = _checked(path)
    if is_dicom(file):
        return _read_dicom(file, frame)
    if _is_volume(file):
        array, spacing = _read_volume(file)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
            raise ImageError(file, "must hold one picture (W, H) or (W, H, 3)", got=array.shape)
        return UltrasoundImage(_to_rgb(_to_bytes(np.swapaxes(array, 0, 1))), spacing, str(file))
    return UltrasoundImage(_read_picture(file), None, str(file))


def _read_picture(file: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.load()
            if picture.mode.startswith("I") or picture.mode == "F":
                return _to_rgb(_to_bytes(np.asarray(picture)))
            if picture.mode in ("RGBA", "LA", "PA"):  # opacity says nothing about tissue: dropped, not blended
                picture = picture.convert("RGBA")
            return np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    except Exception as error:  # Pillow raises many kinds; each means the same to the user
        fix = "Export the picture again as PNG"
        raise ImageError(file, "must be a readable picture or DICOM file", got=str(error), fix=fix) from error


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """8-bit of 16-bit: the high byte; other ranges are scaled from their minimum to their maximum."""
    if array.dtype == np.uint8 or (array.min() >= 0 and array.max() <= 255):
        return array.astype(np.uint8)
    if array.min() >= 0 and array.max() <= 65535 and array.dtype.kind in "iu":
        return (array.astype(np.uint16) >> 8).astype(np.uint8)
    values = array.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def _to_rgb(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array[..., :3])


def _read_dicom(file: Path, frame: int | None) -> UltrasoundImage:
    import pydicom

    try:
        dataset = pydicom.dcmread(file)
        if "PixelData" not in dataset:
            raise ImageError(file, "must hold an image", got="DICOM without pixel data")
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames > 1 and frame is None:
            raise ImageError(file, "a cine needs a frame number", got=f"{frames} frames", fix="Name one, from 0")
        if frame is not None and not 0 <= frame < frames:
            raise ImageError(file, f"frame must be between 0 and {frames - 1}", got=frame)
        array = dataset.pixel_array
        if frames > 1:
            array = array[frame]
        return UltrasoundImage(_dicom_rgb(dataset, array), spacing_of(dataset), str(file), frame)
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds; each means the same to the user
        fix = "Check the file with another viewer, or export it again"
        raise ImageError(file, "must be a readable DICOM image", got=str(error).splitlines()[0], fix=fix) from error


def _dicom_rgb(dataset: Any, array: NDArray[Any]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 of one decoded frame, under pydicom 2.4 and 3."""
    try:
        from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers.util import (
            apply_color_lut,
            apply_modality_lut,
            apply_voi_lut,
            convert_color_space,
        )
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(array, dataset)
        return _to_rgb((colours >> 8 if colours.dtype == np.uint16 else colours).astype(np.uint8))
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        if array.dtype != np.uint8 or "RescaleSlope" in dataset or "WindowCenter" in dataset:
            array = apply_voi_lut(apply_modality_lut(array, dataset), dataset)
            bits = int(dataset.BitsStored)
            if array.min() < 0 or array.max() > 255:
                array = np.clip(array, 0, 2**bits - 1) * (255 / (2**bits - 1)) + 0.5
        grey = array.astype(np.uint8)
        return _to_rgb(255 - grey if kind == "MONOCHROME1" else grey)
    if kind in ("YBR_FULL", "YBR_FULL_422"):
        major = int(str(pydicom_version()).split(".")[0])
        if major < 3:  # pydicom 3 converts while it decodes
            array = convert_color_space(array, kind, "RGB")
    return _to_rgb(array.astype(np.uint8))


def pydicom_version() -> str:
    """The installed pydicom's version."""
    import pydicom

    return str(pydicom.__version__)


def _read_volume(file: Path) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """The array of a NIfTI, NRRD or MHA file in (x, y, ...) order without axes of length 1, and its spacing."""
    try:
        if ".nii" in file.name.lower():
            import nibabel

            image = nibabel.load(file)
            array, zooms = np.asarray(image.dataobj), [float(step) for step in image.header.get_zooms()]
        else:
            import itk

            picture = itk.imread(str(file))
            array = itk.array_from_image(picture)
            spatial = int(picture.GetImageDimension())
            order = [*reversed(range(spatial)), *range(spatial, array.ndim)]
            array, zooms = array.transpose(order), [float(step) for step in picture.GetSpacing()]
    except Exception as error:  # each reader raises its own kinds
        raise ImageError(file, "must be a readable NIfTI, NRRD or MHA file", got=str(error).splitlines()[0]) from error
    for axis in reversed(range(2, array.ndim)):
        if array.shape[axis] == 1:
            array = np.squeeze(array, axis)
    return array, (zooms[1], zooms[0])


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask, upright: ``(H, W)`` bool, True where the file is above 0.

    Args:
        path: PNG of any mode, NIfTI, NRRD or MHA.

    Raises:
        ImageError: when the file is missing, damaged, or no mask.
    """
    file = _checked(path)
    if _is_volume(file):
        array = np.swapaxes(_read_volume(file)[0], 0, 1)
    else:
        array = _read_picture(file)
        if (array != array[..., :1]).any():
            raise ImageError(file, "a mask must be grey", got="colours", fix="Save the mask with one channel")
        array = array[..., 0]
    if array.ndim != 2:
        raise ImageError(file, "a mask must be two-dimensional", got=array.shape)
    return np.asarray(array > 0)


def image_size(path: str | Path) -> tuple[int, int]:
    """Rows and columns, from the header alone.

    Raises:
        ImageError: when the file is missing or no image.
    """
    file = _checked(path)
    try:
        if is_dicom(file):
            import pydicom

            header = pydicom.dcmread(file, stop_before_pixels=True)
            return int(header.Rows), int(header.Columns)
        if _is_volume(file):
            array, _ = _read_volume(file)
            return int(array.shape[1]), int(array.shape[0])
        from PIL import Image

        with Image.open(file) as picture:
            return picture.height, picture.width
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(file, "must be a readable image", got=str(error).splitlines()[0]) from error


class UltrasoundReader(ImageReader):  # type: ignore[misc]
    """Give ``LoadImaged`` an 8-bit RGB picture ``(W, H, 3)`` with true geometry.

    MONAI's readers give palette indices, four channels or clipped 16-bit, and a spacing of 1 mm where none is known.
    A cine gives its first frame, with a warning.
    """

    def verify_suffix(self, filename: Sequence[Any] | Any) -> bool:
        """Any file: the content decides."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[UltrasoundImage]:
        """Read one file or several."""
        images = []
        for path in data if isinstance(data, (list, tuple)) else [data]:
            try:
                images.append(read_image(path))
            except ImageError as error:
                if "needs a frame number" not in str(error):
                    raise
                warnings.warn(f"{path}: a cine; its first frame is taken", stacklevel=2)
                images.append(read_image(path, frame=0))
        return images

    def get_data(self, img: list[UltrasoundImage]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The pixels ``(W, H, 3)`` and MONAI's metadata."""
        image = img[0]
        pixels = np.ascontiguousarray(image.pixels.transpose(1, 0, 2))
        meta = {
            "filename_or_obj": image.path,
            "spatial_shape": np.asarray(pixels.shape[:2]),
            "original_channel_dim": -1,
            "affine": image.affine,
            "original_affine": image.affine,
            "space": "RAS",
        }
        return pixels, meta


class MaskReader(ImageReader):  # type: ignore[misc]
    """Give ``LoadImaged`` a mask ``(W, H)`` of 0 and 1, uint8."""

    def verify_suffix(self, filename: Sequence[Any] | Any) -> bool:
        """Any file: the content decides."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[tuple[str, NDArray[np.bool_]]]:
        """Read one file or several."""
        paths = data if isinstance(data, (list, tuple)) else [data]
        return [(str(path), read_mask(path)) for path in paths]

    def get_data(self, img: list[tuple[str, NDArray[np.bool_]]]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The mask ``(W, H)`` and MONAI's metadata."""
        path, mask = img[0]
        pixels = np.ascontiguousarray(mask.T.astype(np.uint8))
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
        meta = {
            "filename_or_obj": path,
            "spatial_shape": np.asarray(pixels.shape),
            "original_channel_dim": "no_channel",
            "affine": affine,
            "original_affine": affine,
            "space": "RAS",
        }
        return pixels, meta
