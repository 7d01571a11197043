"""Write image and mask for PyRadiomics: NIfTI with spacing, and a line in its table."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import replacing

if TYPE_CHECKING:
    from monai_lesion.segmentation.results import Segmentation

logger = logging.getLogger(__name__)

TABLE = "radiomics.csv"
COLUMNS = ("Image", "Mask")


def export_radiomics(result: Segmentation, output_dir: str | Path, *, name: str) -> list[Path]:
    """Write a picture, its mask and their line in the table.

    ::

        output_dir/NAME_image.nii.gz  NAME_mask.nii.gz  radiomics.csv

    The picture is grey (the luminance that Pillow gives), 8-bit, one slice thick, so that ``force2D`` and the 2-D shape
    features apply. Paths in the table are relative to it. Run ``pyradiomics radiomics.csv -o features.csv``.

    Args:
        result: the segmentation.
        output_dir: folder; created if needed.
        name: name of the files; it must not identify the patient.

    Returns:
        Image, mask and table; empty when no lesion was found, since there is nothing to measure.

    Raises:
        InputError: when the name is a path, or the table has other columns.

    Source:
        PyRadiomics, batch mode: a CSV with the columns ``Image`` and ``Mask``, label 1.
    """
    from PIL import Image

    if not name or Path(name).name != name or name.startswith("."):
        raise InputError("name", "must be that of a file, without folders", got=repr(name))
    if not result.found:
        logger.info("%s: no lesion, nothing to export", name)
        return []
    folder = Path(output_dir)
    if result.spacing is None:
        logger.warning("%s: no pixel spacing, so sizes are in pixels", name)
    grey = np.asarray(Image.fromarray(result.image.pixels).convert("L"))
    files = [folder / f"{name}_image.nii.gz", folder / f"{name}_mask.nii.gz"]
    for file, array in zip(files, (grey, result.mask), strict=True):
        _write(array, result.affine, file)
    return [*files, _append(folder / TABLE, [file.name for file in files])]


def _write(array: NDArray[Any], affine: NDArray[np.float64], file: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image(array.astype(np.uint8).T[..., None].copy(), affine)  # (W, H, 1)
    image.header.set_xyzt_units("mm")
    with replacing(file) as partial:
        nibabel.save(image, partial)


def _append(table: Path, line: list[str]) -> Path:
    """Add a line unless it is there; the table is never half-written."""
    lines = [list(COLUMNS)]
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        if not lines or lines[0] != list(COLUMNS):
            raise InputError(table, f"must have the columns {', '.join(COLUMNS)}", got=lines[0] if lines else "none")
        if line in lines:
            return table
    with replacing(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([*lines, line])
    return table
