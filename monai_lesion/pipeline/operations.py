"""What happens before and after a network: the one definition, in numpy.

::

    uint8 (H, W, 3) -- resize -- 8-bit -- / 255 -- network -- sigmoid -- resize back -- threshold -- clean -- (H, W)

MONAI's transforms and the graphs of exported models are tested against these functions. This file imports no other,
because a copy of it travels with every exported model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCK = 2**15  # numbers that are resized at a time, few enough for a processor's cache


def resize(image: Array, rows: int, columns: int) -> Array:
    """Resize bilinearly, pixel centres aligned, without smoothing: PyTorch's ``interpolate``, step by step in float32.

    Args:
        image: float32 or uint8 ``(C, H, W)``.
        rows: rows to make.
        columns: columns to make.
    """
    top, bottom, down = _neighbours(image.shape[1], rows)
    left, right, across = _neighbours(image.shape[2], columns)
    needed, places = np.unique(np.concatenate([top, bottom]), return_inverse=True)
    if len(needed) < image.shape[1]:
        image, top, bottom = image[:, needed], places[:rows], places[rows:]
    # Each source row across once, however many target rows lie between it and the next.
    wide = _columns(image, left) * (1 - across)
    wide += _columns(image, right) * across
    resized = np.empty((len(wide), rows, columns), np.float32)
    above, below = (1 - down)[:, None], down[:, None]
    block = max(1, BLOCK // wide[:, 0].size)
    for first in range(0, rows, block):
        part = slice(first, first + block)
        upper, lower = wide.take(top[part], axis=1), wide.take(bottom[part], axis=1)
        upper *= above[part]
        lower *= below[part]
        np.add(upper, lower, out=resized[:, part])
    return resized


def _columns(image: Array, places: Array) -> Array:
    """Columns of ``(C, H, W)``, taken as the picture lies in memory: pixel by pixel where its colours lie together."""
    if image.flags.c_contiguous:
        return np.asarray(image.take(places, axis=2))
    return np.ascontiguousarray(image.transpose(1, 2, 0).take(places, axis=1).transpose(2, 0, 1))


def _neighbours(size: int, target: int) -> tuple[Any, Any, Any]:
    scale = float(np.float32(size) / np.float32(target))
    # In double precision, then rounded once, as the fused multiply-add that PyTorch is built with.
    place = np.maximum((scale * (np.arange(target) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), place - first.astype(np.float32)


def clean(mask: Array, keep: str = "largest") -> Array:
    """Keep the largest component of a mask ``(H, W)`` and fill its holes; pixels connect by an edge or a corner.

    Args:
        mask: bool, or 0 and non-zero.
        keep: ``"largest"``, or ``"all"`` to fill the holes of every component.

    Returns:
        uint8, 0 and 1.
    """
    cleaned = np.zeros(mask.shape, np.uint8)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        # Column by column, as MONAI's masks lie, which decides between components of one size.
        part = np.ascontiguousarray(mask[box].T, bool)
        cleaned[box] = _filled(_largest(part) if keep == "largest" else part).T
    return cleaned


def _largest(mask: Array) -> Array:
    lines, starts, stops, roots = _components(mask)
    if not roots.any():
        return mask  # all are connected to the first
    names, numbers = np.unique(roots, return_inverse=True)
    # Of components of one size the one that MONAI's sort puts last: sorted alike, the background first.
    counts = np.bincount(np.repeat(numbers + 1, stops - starts))
    largest = names[np.argsort(counts)[-1] - 1]
    return _paint(mask.shape, lines, starts, stops, roots == largest)


def _filled(mask: Array) -> Array:
    outside = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    outside[1:-1, 1:-1] = ~mask
    lines, starts, stops, roots = _components(outside)
    if not roots.any():
        return mask  # no hole
    outside = _paint(outside.shape, lines, starts, stops, roots == 0)
    return np.asarray(~outside[1:-1, 1:-1])


def _components(mask: Array) -> tuple[Any, Any, Any, Any]:
    """The runs of True in each line, and the number of the first run that each is connected to."""
    framed = np.zeros((mask.shape[0], mask.shape[1] + 2), bool)
    framed[:, 1:-1] = mask
    lines, ends = np.divmod(np.flatnonzero(framed[:, 1:] != framed[:, :-1]), mask.shape[1] + 1)
    lines, starts, stops = lines[::2], ends[::2], ends[1::2]
    # The runs of the line above that one touches, by an edge or a corner, lie beside each other.
    width = mask.shape[1] + 2
    first = np.searchsorted(lines * width + stops, (lines - 1) * width + starts)
    counts = np.searchsorted(lines * width + starts, (lines - 1) * width + stops, side="right") - first
    below = np.repeat(np.arange(len(lines)), counts)
    above = np.arange(len(below)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    roots = np.arange(len(lines))
    while True:
        linked, one, other = roots.copy(), roots[below], roots[above]
        np.minimum.at(linked, np.maximum(one, other), np.minimum(one, other))
        while (linked != linked[linked]).any():
            linked = linked[linked]
        if (linked == roots).all():
            return lines, starts, stops, roots
        roots = linked


def _paint(shape: Sequence[int], lines: Any, starts: Any, stops: Any, chosen: Any) -> Array:
    rows, columns = shape
    steps = np.zeros((rows, columns + 1), np.int8)
    steps[lines[chosen], starts[chosen]] += 1
    steps[lines[chosen], stops[chosen]] -= 1
    return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool)


def before(image: Array, size: Sequence[int]) -> Array:
    """Turn a uint8 picture ``(H, W, 3)`` into the network's input, float32 ``(1, 3, rows, columns)`` in 0-1."""
    pixels = resize(image.transpose(2, 0, 1), *size)
    np.round(pixels, out=pixels)
    np.clip(pixels, 0, 255, out=pixels)
    return np.asarray(np.divide(pixels, np.float32(255), out=pixels)[None])


def after(
    logits: Array, size: Sequence[int], *, threshold: float = 0.5, keep: str = "largest", order: str = "resize_first"
) -> tuple[Array, Array]:
    """Turn logits ``(1, 1, rows, columns)`` into mask and probability of the picture's size.

    Args:
        logits: float32.
        size: rows and columns of the picture.
        threshold: probability from which a pixel is lesion.
        keep: see :func:`clean`.
        order: ``"resize_first"`` resizes the probability and then thresholds; ``"threshold_first"`` resizes the
            finished mask.

    Returns:
        The mask, uint8, 0 and 1, and the probability, float32.
    """
    with np.errstate(over="ignore"):  # infinity gives the 0 that is meant
        small = 1 / (1 + np.exp(-logits[0]))
    probability = resize(small, *size)[0]
    if order == "resize_first":
        return clean(probability >= np.float32(threshold), keep), probability
    # At the network's size MONAI's masks lie upright: row by row.
    mask = clean((small[0] >= np.float32(threshold)).T, keep).T
    places = [_nearest(mask.shape[axis], size[axis]) for axis in (0, 1)]
    return np.ascontiguousarray(mask[np.ix_(*places)]), probability


def _nearest(size: int, target: int) -> Array:
    """Find the source pixel for each target pixel, as PyTorch's ``nearest`` does."""
    places = np.arange(target, dtype=np.float32) * (np.float32(size) / np.float32(target))
    return np.minimum(places.astype(np.int64), size - 1)
