"""Check masks, labels against their images, and spacings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import ImageError, InputError

Mask = NDArray[np.bool_]


def checked_mask(mask: ArrayLike, *, name: str = "mask") -> Mask:
    """Check a mask and turn it into booleans.

    Args:
        mask: ``(H, W)`` of booleans, whole numbers, or floats that are 0 and 1.
        name: its name in error messages.

    Raises:
        InputError: when it is not two-dimensional or holds probabilities.
    """
    array = np.asarray(mask)
    if array.ndim != 2:
        raise InputError(name, "must have the shape (H, W)", got=array.shape)
    if array.dtype.kind not in "biu" and not (array.dtype.kind == "f" and np.isin(array, (0, 1)).all()):
        raise InputError(name, "must be a mask", got=f"{array.dtype} other than 0 and 1", fix="Threshold it first")
    return array.astype(bool, copy=False)


def fits(label: Sequence[int], image: Sequence[int]) -> bool:
    """Whether a label has the rows and columns of its image: resized, it would be learnt and scored askew.

    Example:
        >>> fits((20, 30), (20, 30)), fits((30, 20), (20, 30))
        (True, False)
    """
    return tuple(label) == tuple(image)


def check_fits(name: object, label: Sequence[int], image: Sequence[int]) -> None:
    """Refuse a label that does not fit its image.

    Args:
        name: the label, for the error message.
        label: its rows and columns.
        image: rows and columns of its image.

    Raises:
        ImageError: when they differ.
    """
    if not fits(label, image):
        rule = f"a label must have its image's {image[0]} x {image[1]} rows and columns"
        raise ImageError(name, rule, got=f"{label[0]} x {label[1]}")


def checked_steps(spacing: Sequence[float] | None) -> NDArray[np.float64]:
    """Give the row and column step: in millimetres, or ones if the spacing is unknown.

    Raises:
        InputError: when the spacing is not two positive numbers.
    """
    try:
        steps = np.ones(2) if spacing is None else np.asarray(spacing, dtype=np.float64)
    except (TypeError, ValueError):
        steps = np.empty(0)
    if steps.shape != (2,) or not np.all(np.isfinite(steps) & (steps > 0)):
        raise InputError("spacing", "must be two positive steps in mm: row, column", got=spacing)
    return steps
