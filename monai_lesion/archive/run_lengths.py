"""Masks as COCO keeps them: run lengths, column by column, packed into text as pycocotools packs them.

::

    mask (H, W) -- runs of 0, 1, 0 ... down the columns -- differences -- five bits a letter -- text
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError

LETTERS = 7  # of one number: 35 bits, more than any run has pixels
FIRST = 48  # the letter "0"
MORE, SIGN, BITS = 0x20, 0x10, 0x1F


def encode(mask: ArrayLike) -> str:
    """Write a mask as COCO's compressed run lengths, ``counts``.

    Args:
        mask: ``(H, W)``, above 0 inside.

    Source:
        cocoapi, common/maskApi.c, ``rleEncode`` and ``rleToString``.

    Example:
        >>> encode([[0, 1], [0, 1]]), encode(np.zeros((2, 3)))
        ('22', '6')
    """
    inside = np.asarray(mask) > 0
    rows, columns = inside.shape
    used_columns = np.flatnonzero(inside.any(axis=0))
    first, last = (used_columns[0], used_columns[-1] + 1) if len(used_columns) else (0, 0)
    flat = np.zeros(rows * (last - first) + 2, bool)  # nothing before and after, so that a run ends at the border
    flat[1:-1] = inside[:, first:last].ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + rows * first
    starts = np.concatenate([[0], edges, [rows * columns]])
    counts = np.diff(starts)
    if counts[-1] == 0:  # the last pixel is inside
        counts = counts[:-1]
    values = counts.copy()
    values[3:] -= counts[1:-2]  # differences are small where columns are alike
    letters = np.zeros((len(values), LETTERS), np.uint8)
    used = np.zeros((len(values), LETTERS), bool)
    left, open_ = values, np.ones(len(values), bool)
    for place in range(LETTERS):
        low = left & BITS
        left = left >> 5
        more = np.where(low & SIGN, left != -1, left != 0)
        letters[:, place] = low + np.where(more, MORE, 0) + FIRST
        used[:, place] = open_
        open_ = open_ & more
        if not open_.any():
            break
    return letters[used].tobytes().decode("ascii")


def decode(counts: str, size: Sequence[int]) -> NDArray[np.uint8]:
    """Read a mask, uint8 ``(H, W)`` of 0 and 1.

    Args:
        counts: from :func:`encode` or pycocotools.
        size: rows and columns.

    Raises:
        InputError: when the runs do not fill the size.

    Example:
        >>> decode("22", (2, 2)).tolist()
        [[0, 1], [0, 1]]
    """
    runs: list[int] = []
    value = shift = 0
    for letter in counts.encode("ascii", "replace"):
        part = letter - FIRST
        value |= (part & BITS) << shift
        shift += 5
        if part & MORE:
            continue
        if part & SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    rows, columns = size
    if shift or min(runs, default=0) < 0 or sum(runs) != rows * columns:
        rule = f"its run lengths must fill {rows} x {columns} pixels"
        raise InputError("mask", rule, got=sum(runs), fix="The row is damaged, or of another picture")
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    return np.ascontiguousarray(flat.reshape(columns, rows).T)
