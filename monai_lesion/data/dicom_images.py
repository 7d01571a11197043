"""One frame of a DICOM file as 8-bit RGB, under pydicom 2.4 and 3."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.data.calibration import spacing_of
from monai_lesion.data.pictures import reason, to_bytes, to_rgb
from monai_lesion.errors import ImageError

GREY = ("MONOCHROME1", "MONOCHROME2")
# What decoders hand over as RGB: all but YBR_FULL, which pydicom 3 converts and pydicom 2 does not.
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")

Frame = tuple[NDArray[np.uint8], "tuple[float, float] | None", "int | None"]


def is_dicom(path: str | Path) -> bool:
    """Whether the file carries DICOM's preamble."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_frame(file: Path, frame: int | None, *, first: bool = False) -> Frame:
    """Read one frame.

    Args:
        file: a DICOM file.
        frame: its index, from 0; a cine needs one.
        first: take the first frame of a cine, with a warning, when ``frame`` is None.

    Returns:
        ``(H, W, 3)`` RGB, its pixel spacing (rows, columns) in mm if known, and the frame's index in a cine.

    Raises:
        ImageError: when the file is damaged, no image, or has no such frame.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(file)
        if "PixelData" not in dataset:
            raise ImageError(file, "must hold an image", got="DICOM without pixel data")
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames > 1 and frame is None:
            if not first:
                raise ImageError(file, "a cine needs a frame number", got=f"{frames} frames", fix="Name one, from 0")
            warnings.warn(f"{file}: a cine of {frames} frames; its first frame is taken", stacklevel=2)
        if frame is not None and not 0 <= frame < frames:
            raise ImageError(file, f"frame must be between 0 and {frames - 1}", got=frame)
        array = _decode(dataset, frame or 0, frames)
        return _rgb(file, dataset, array), spacing_of(dataset), (frame or 0) if frames > 1 else None
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds; each means the same to the user
        fix = "Check the file with another viewer, or export it again"
        raise ImageError(file, "must be a readable DICOM image", got=reason(error), fix=fix) from error


def dicom_size(file: Path) -> tuple[int, int]:
    """Rows and columns, from the header.

    Raises:
        ImageError: when the file is damaged or no image.
    """
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    except Exception as error:  # as above
        raise ImageError(file, "must be a readable DICOM image", got=reason(error)) from error
    if not header.get("Rows") or not header.get("Columns"):
        raise ImageError(file, "must hold an image", got="DICOM without rows and columns")
    return int(header.Rows), int(header.Columns)


def _decode(dataset: Any, frame: int, frames: int) -> NDArray[Any]:
    try:
        from pydicom.pixels import pixel_array
    except ImportError:  # pydicom 2 decodes all frames or none, and leaves YBR as it is
        from pydicom.pixel_data_handlers.util import convert_color_space

        array = dataset.pixel_array[frame] if frames > 1 else dataset.pixel_array
        kind = str(dataset.PhotometricInterpretation)
        return np.asarray(convert_color_space(array, kind, "RGB") if kind in ("YBR_FULL", "YBR_FULL_422") else array)
    return np.asarray(pixel_array(dataset, index=frame))


def _rgb(file: Path, dataset: Any, array: NDArray[Any]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 of one decoded frame."""
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        try:
            from pydicom.pixels import apply_color_lut
        except ImportError:  # pydicom 2
            from pydicom.pixel_data_handlers.util import apply_color_lut
        return to_rgb(to_bytes(apply_color_lut(array, dataset)))
    if kind in GREY:
        grey = _grey(dataset, array)
        return to_rgb(255 - grey if kind == "MONOCHROME1" else grey)
    if kind in COLOUR:
        return to_rgb(array if array.dtype == np.uint8 else (array >> (int(dataset.BitsStored) - 8)).astype(np.uint8))
    known = ", ".join([*GREY, "PALETTE COLOR", *COLOUR])
    raise ImageError(file, f"the photometric interpretation must be one of {known}", got=kind)


def _grey(dataset: Any, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Rescale and window as the file says, then its full range to 0-255."""
    try:
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi_lut
    low, high = _grey_range(dataset)
    values = np.asarray(apply_voi_lut(apply_modality_lut(array, dataset), dataset), np.float64)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def _grey_range(dataset: Any) -> tuple[float, float]:
    """The values that black and white have after rescale and window.

    Source:
        DICOM PS3.3, C.11.1.1 and C.11.2.1: a window's output spans what its input can span.
    """
    for table in ("VOILUTSequence", "ModalityLUTSequence"):
        if dataset.get(table):
            return 0.0, float(2 ** int(dataset[table].value[0].LUTDescriptor[2]) - 1)
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation") or 0)
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is not None and intercept is not None:
        ends = (ends[0] * float(slope) + float(intercept), ends[1] * float(slope) + float(intercept))
    return float(min(ends)), float(max(ends))
