"""Pictures and masks in files, written by hand or by nibabel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.images import COLUMNS, ROWS, colours, greys, lesion, write_png

SIZE = (ROWS, COLUMNS)


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Rows of a PNG with 1, 2 or 4 bits a pixel."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row).tobytes() for row in planes.astype(np.uint8).reshape(len(values), -1)]


def rows_of(values: np.ndarray) -> list[bytes]:
    return [row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values]


def grey_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def nifti(file: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    import nibabel

    affine = np.diag([-0.2, -0.3, 1.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(array, affine), file)
    return file


def vector_niftis() -> dict[str, np.ndarray]:
    across = np.ascontiguousarray(colours().swapaxes(0, 1))
    return {
        "(W, H, 1, 1, 3)": across[:, :, None, None],
        "(W, H, 1, 3)": across[:, :, None],
        "(W, H, 3)": across,
        "RGB24": across.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0],
    }


def bad_masks(folder: Path, kind: str) -> Path:
    file = folder / "bad.png"
    if kind == "colours":
        return write_png(file, 8, 2, rows_of(colours()), SIZE)
    if kind == "two colours of a palette":
        return write_png(file, 8, 3, rows_of(greys() % 3), SIZE, PLTE=b"\0\0\0\xff\0\0\0\xff\0")
    if kind == "opacity alone":
        alpha = np.dstack([np.zeros((*SIZE, 3), np.uint8), lesion() * np.uint8(255)])
        return write_png(file, 8, 6, rows_of(alpha), SIZE)
    if kind == "jpeg":
        Image.fromarray(lesion().astype(np.uint8) * 255).save(file, format="JPEG")
        return file
    if kind == "several slices":
        return nifti(folder / "bad.nii.gz", np.zeros((COLUMNS, ROWS, 4), np.uint8))
    return nifti(folder / "bad.nii.gz", vector_niftis()["(W, H, 1, 3)"])
