"""Write masks to files, in the source's size and geometry."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import replacing

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

LONGEST_DESCRIPTION = 79  # bytes of a NIfTI-1 header, and a zero
ENDINGS = {"png": ".png", "nifti": ".nii.gz"}


def write_mask(
    mask: NDArray[Any],
    path: str | Path,
    *,
    format: str,
    affine: NDArray[np.float64] | None = None,
    description: str = "",
) -> Path:
    """Write a mask to a file, whole or not at all.

    Args:
        mask: upright ``(H, W)``, lesion where above 0.
        path: the file without its ending; folders are created if needed.
        format: ``"png"`` (0 and 255) or ``"nifti"`` (0 and 1, indexed (x, y) as ITK reads the picture).
        affine: 4 x 4 of the NIfTI, millimetres in RAS; None for one millimetre per pixel.
        description: text for the header: ``Description`` of the PNG, the first 79 bytes ``descrip`` of the NIfTI.

    Returns:
        The file.

    Raises:
        InputError: for an unknown format or another shape.
    """
    if format not in ENDINGS:
        raise InputError("format", f"must be one of {', '.join(ENDINGS)}", got=format)
    if np.ndim(mask) != 2:
        raise InputError("mask", "must be (H, W)", got=np.shape(mask))
    file = Path(f"{path}{ENDINGS[format]}")
    binary = (np.asarray(mask) > 0).astype(np.uint8)
    with replacing(file) as partial:
        if format == "png":
            from PIL import Image

            texts = png_texts(description)
            mask_picture = Image.fromarray(binary * np.uint8(255))
            mask_picture.save(partial, compress_type=zlib.Z_RLE, pnginfo=texts)  # of runs: as small, sooner
        else:
            import nibabel

            image = nibabel.Nifti1Image(binary.T.copy(), np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine)
            image.header.set_xyzt_units("mm")
            if description:
                image.header["descrip"] = description.encode("ascii", "replace")[:LONGEST_DESCRIPTION]
            nibabel.save(image, partial)
    return file


def png_texts(description: str) -> PngInfo | None:
    """The text chunks of a PNG; None without a description."""
    if not description:
        return None
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Description", description)
    return texts
