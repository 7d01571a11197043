"""Pictures and masks in NIfTI, NRRD and MHA files: one slice, indexed (x, y)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images import limits
from monai_lesion.images.pictures import reason
from monai_lesion.images.silence import quiet
from monai_lesion.images.volume_claims import check_meta_image, check_nrrd, nifti_bytes

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}  # NIfTI's units; "mm" and "unknown" are 1


@dataclass(frozen=True)
class Volume:
    """A slice as the file stores it.

    Args:
        array: ``(W, H)`` or ``(W, H, 3)``; axes of length 1 are dropped.
        spacing: row and column step in mm; None for exactly 1 x 1 mm, which programs write when they do not know it.
        affine: 4 x 4 from (x, y, z) to RAS, in the file's units.
        solid: whether the file has a third axis, of one slice.
    """

    array: NDArray[Any]
    spacing: tuple[float, float] | None
    affine: NDArray[np.float64]
    solid: bool


def is_volume(path: Path) -> bool:
    """Whether a file name has the ending of a volume."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


@quiet()
def read_volume(file: Path) -> Volume:
    """Read a file of one slice; pixels in the order of its indices, whatever its directions.

    Raises:
        ImageError: when the file is damaged or does not hold exactly one slice.
    """
    try:
        array, zooms, affine = (_read_nifti if _is_nifti(file) else _read_itk)(file)
        if not (np.isfinite(zooms).all() and np.isfinite(affine).all()):
            raise ValueError("a geometry that is not finite")
    except Exception as error:  # each reader raises its own kinds
        raise ImageError(file, "must be a readable NIfTI, NRRD or MHA file", got=reason(error)) from error
    if array.dtype.names:  # NIfTI's RGB24
        array = np.stack([array[name] for name in array.dtype.names[:3]], axis=-1)
    shape = array.shape
    solid = len(shape) > 2 and shape[2] == 1
    array = np.squeeze(array, tuple(axis for axis in range(2, array.ndim) if shape[axis] == 1))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise ImageError(file, "must hold one slice (W, H), grey or RGB", got=shape, fix="Save one slice per file")
    if array.shape[0] * array.shape[1] > limits.MAX_PIXELS:
        raise ImageError(file, f"must have at most {limits.MAX_PIXELS} pixels", got=f"{shape[1]} x {shape[0]}")
    spacing = None if np.allclose(zooms[:2], 1.0, rtol=0, atol=1e-6) or min(zooms[:2]) <= 0 else (zooms[1], zooms[0])
    return Volume(array, spacing, affine, solid)


@quiet()
def volume_size(file: Path) -> tuple[int, int]:
    """Read rows and columns from the header.

    Raises:
        ImageError: when the file is damaged.
    """
    try:
        if _is_nifti(file):
            kind, data = nifti_bytes(file, pixels=False)
            columns, rows = kind.header_class(data[: kind.header_class.sizeof_hdr]).get_data_shape()[:2]
        else:
            header = _itk_header(file)
            columns, rows = header.GetDimensions(0), header.GetDimensions(1)
    except Exception as error:  # as above
        raise ImageError(file, "must be a readable NIfTI, NRRD or MHA file", got=reason(error)) from error
    return int(rows), int(columns)


def _is_nifti(file: Path) -> bool:
    return file.name.lower().endswith((".nii", ".nii.gz"))


def _read_nifti(file: Path) -> tuple[NDArray[Any], list[float], NDArray[np.float64]]:
    kind, data = nifti_bytes(file)
    image = kind.from_bytes(data)
    unit = MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    zooms = [float(step) * unit for step in image.header.get_zooms()]
    return np.asarray(image.dataobj), zooms, np.asarray(image.affine, np.float64)


def _itk_header(file: Path) -> Any:
    """The header as ITK reads it, after a check of what it claims; of no other format, whatever ITK could read."""
    import itk

    nrrd = file.name.lower().endswith(".nrrd")
    (check_nrrd if nrrd else check_meta_image)(file)
    header = itk.ImageIOFactory.CreateImageIO(str(file), itk.CommonEnums.IOFileMode_ReadMode)
    if header is None or header.GetNameOfClass() != ("NrrdImageIO" if nrrd else "MetaImageIO"):
        raise ValueError("no known format")
    header.SetFileName(str(file))
    header.ReadImageInformation()
    return header


def _read_itk(file: Path) -> tuple[NDArray[Any], list[float], NDArray[np.float64]]:
    import itk

    # ITK cannot guess a pixel type for the three-component vectors of MHA.
    colours = _itk_header(file).GetNumberOfComponents() == 3
    picture = itk.imread(str(file), itk.RGBPixel[itk.UC]) if colours else itk.imread(str(file))
    array, axes = itk.array_from_image(picture), int(picture.GetImageDimension())
    steps = [float(step) for step in picture.GetSpacing()]
    affine = np.eye(4)
    across = min(axes, 3)
    affine[:across, :across] = (itk.array_from_matrix(picture.GetDirection()) * steps)[:across, :across]
    affine[:across, 3] = list(picture.GetOrigin())[:across]
    affine[:2] = 0.0 - affine[:2]  # LPS to RAS
    return array.transpose([*reversed(range(axes)), *range(axes, array.ndim)]), steps, affine
