"""Count lesions one by one, for pictures with several or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from monai_lesion.errors import InputError
from monai_lesion.measures.masks import checked_mask

COUNTS = ("lesions", "lesions_found")  # columns of an image
SPECK = 1000  # a component this many times smaller than the largest is a slip of the pen


def count_lesions(pred: ArrayLike, label: ArrayLike) -> tuple[int, int]:
    """Count the lesions of a reference, and those that the prediction touches.

    A lesion is a component of the reference; pixels also connect by corners. Specks below a thousandth of the largest
    component do not count, because hand-drawn masks have some of one or two pixels.

    Args:
        pred: mask, boolean or zero and non-zero.
        label: reference of the same size.

    Shape:
        - pred, label: ``(H, W)``

    Returns:
        The number of lesions, and how many of them were found.

    Raises:
        InputError: when the masks are not two-dimensional, differ in size or hold probabilities.

    Example:
        >>> label = np.zeros((5, 9), bool); label[1:4, 1:3] = label[1:4, 6:8] = True
        >>> count_lesions(label & (np.arange(9) < 5), label)
        (2, 1)
    """
    from scipy import ndimage

    found, real = checked_mask(pred, name="pred"), checked_mask(label, name="label")
    if found.shape != real.shape:
        raise InputError("pred, label", "must be two masks (H, W) of one size", got=f"{found.shape}, {real.shape}")
    if not real.any():
        return 0, 0
    components, count = ndimage.label(real, structure=np.ones((3, 3)))
    sizes = np.bincount(components.ravel())[1:]
    touched = np.bincount(components[found], minlength=count + 1)[1:] > 0
    lesions = sizes * SPECK >= sizes.max()
    return int(lesions.sum()), int((lesions & touched).sum())


def has_lesion(row: Mapping[str, Any]) -> bool:
    """Whether the reference of a scored image shows a lesion; older tables do not say."""
    return str(row.get("lesions", "")) != "0"


def summarise_lesions(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count lesions, how many were found, and false alarms among pictures without a lesion.

    Args:
        rows: scored images; the result is empty if one does not give its lesions.

    Returns:
        ``lesions``, ``lesions_found`` and ``without_lesion``: ``{"n", "false_alarms", "share"}``, where the share is
        nan if every picture has a lesion.

    Example:
        >>> rows = [{"lesions": 2, "lesions_found": 1, "false_alarm": 0}, {"lesions": 0, "false_alarm": 1}]
        >>> summarise_lesions([{"lesions_found": 0, **row} for row in rows])
        {'lesions': 2, 'lesions_found': 1, 'without_lesion': {'n': 1, 'false_alarms': 1, 'share': 1.0}}
    """
    if not all(str(row.get(name, "")) for row in rows for name in COUNTS):
        return {}
    alarms = [bool(int(row["false_alarm"])) for row in rows if not has_lesion(row)]
    share = sum(alarms) / len(alarms) if alarms else math.nan
    without = {"n": len(alarms), "false_alarms": sum(alarms), "share": share}
    return {**{name: sum(int(row[name]) for row in rows) for name in COUNTS}, "without_lesion": without}


def lesion_cells(summary: Mapping[str, Any]) -> tuple[str, str]:
    """Lesions found and false alarms of a summary as texts; empty where they say no more than the images do.

    Example:
        >>> lesion_cells({"n": 3, "lesions": 4, "lesions_found": 3, "without_lesion": {"n": 0}})
        ('3 of 4', '')
    """
    without = summary.get("without_lesion", {"n": 0})
    pictures = summary["n"] - without["n"]
    lesions = summary.get("lesions", pictures)
    found = "" if lesions == pictures else f"{summary['lesions_found']} of {lesions}"
    share = f"{without['false_alarms']} of {without['n']} ({without['share']:.0%})" if without["n"] else ""
    return found, share
