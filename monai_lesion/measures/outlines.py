"""Find the outline of a lesion and measure along it: axes and perimeter.

Pixel coordinates are (row, column) with whole numbers at pixel centres. The outline runs halfway between the last
pixel inside and the first one outside. See docs/explanation/measurements.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from monai_lesion.measures.masks import Mask

Floats = NDArray[np.float64]

REACH = 2.3  # larger steps, out to the neighbours whose directions the perimeter uses: eight for square pixels
MOST_PIXELS = 12  # and never more pixels than these, however flat they are


def largest_part(mask: Mask) -> tuple[Mask, tuple[int, int], int]:
    """Cut out the largest part with filled holes; also give the corner of its bounding box and the number of parts."""
    from scipy.ndimage import label

    box, (top, left) = _crop(mask)
    labels, components = label(box, structure=np.ones((3, 3)))
    corner = (0, 0)
    if components > 1:
        box, corner = _crop(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    outside, regions = label(np.pad(~box, 1, constant_values=True))
    filled = box if regions == 1 else (outside != outside[0, 0])[1:-1, 1:-1]
    return filled, (top + corner[0], left + corner[1]), int(components)


def _crop(mask: Mask) -> tuple[Mask, tuple[int, int]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (int(rows[0]), int(columns[0]))


def outline_of(lesion: Mask) -> Floats:
    """Trace the outer outline, through the midpoints between pixels inside and outside; pixels connect by corners."""
    from skimage.measure import find_contours

    outlines = find_contours(np.pad(lesion, 1).astype(np.float64), 0.5, fully_connected="high")
    return np.asarray(max(outlines, key=len)[:-1] - 1, dtype=np.float64)


def axes_of(outline: Floats) -> tuple[Floats, Floats]:
    """Find the ends of the longest diameter of an outline in mm, and of the longest chord perpendicular to it."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist, squareform

    hull = outline[ConvexHull(outline).vertices]
    apart = squareform(pdist(hull))
    # Symmetric outlines have several longest diameters. The one with the longest chord across makes the result the
    # same for a mirrored picture.
    longest = np.argwhere(np.triu(apart) >= apart.max() * (1 - 1e-9))
    pairs = [(hull[[first, second]], _chord(outline, hull[first] - hull[second])) for first, second in longest]
    return max(pairs, key=lambda pair: math.dist(*pair[1]))


def _chord(outline: Floats, direction: Floats) -> Floats:
    """Find the ends of the longest chord perpendicular to a direction.

    Between two neighbouring vertices, in the order along the direction, the upper envelope of the edges is convex and
    the lower one concave; so a longest chord passes through a vertex, and only those positions are looked at.
    """
    along = direction / np.linalg.norm(direction)
    across = np.array([-along[1], along[0]])
    start, level = outline @ along, outline @ across
    stop, next_level = np.roll(start, -1), np.roll(level, -1)
    positions = np.unique(start)
    first = np.searchsorted(positions, np.minimum(start, stop), "left")
    count = np.searchsorted(positions, np.maximum(start, stop), "right") - first
    edge = np.repeat(np.arange(len(start)), count)  # every edge with every position it passes
    position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    run = np.where(stop == start, 1.0, stop - start)[edge]
    levels = level[edge] + (positions[position] - start[edge]) / run * (next_level - level)[edge]
    upper, lower = np.full(len(positions), -np.inf), np.full(len(positions), np.inf)
    np.maximum.at(upper, position, levels)
    np.minimum.at(lower, position, levels)
    best = int((upper - lower).argmax())
    return np.asarray(positions[best] * along + np.array([[lower[best]], [upper[best]]]) * across)


def perimeter_of(lesion: Mask, steps: Floats) -> float:
    """Measure the outline by Crofton's formula: count how often parallel lines in many directions cross it.

    The outline as drawn is a staircase and would be about 5 % too long; scikit-image's ``perimeter_crofton`` handles
    only square pixels. Every line runs from pixel to pixel; each direction stands for its share of the half circle.
    """
    reach = REACH * float(steps.max())
    downs, rights = (min(int(reach / step), MOST_PIXELS) for step in steps)
    lines = sorted(
        (math.atan2(i * steps[0], j * steps[1]), math.hypot(i * steps[0], j * steps[1]), i, j)
        for i in range(downs + 1)
        for j in range(-rights, rights + 1)
        if math.gcd(i, j) == 1 and (i, j) > (0, 0) and math.hypot(i * steps[0], j * steps[1]) <= reach
    )
    angles = np.array([angle for angle, *_ in lines])
    gaps = np.diff(angles, append=angles[0] + np.pi)
    padded = np.pad(lesion, ((downs, downs), (rights, rights)))
    rows, columns = padded.shape
    total = 0.0
    for (_, length, i, j), share in zip(lines, (gaps + np.roll(gaps, 1)) / 2, strict=True):
        here = padded[: rows - i, max(0, -j) : columns - max(0, j)]
        there = padded[i:, max(0, j) : columns + min(0, j)]
        total += share * np.count_nonzero(here != there) / length
    return float(total * steps.prod() / 2)
