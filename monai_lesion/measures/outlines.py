"""Find the outline of a lesion and measure along it: axes and perimeter.

Pixel coordinates are (row, column) with whole numbers at pixel centres. The outline runs halfway between the last
pixel inside and the first one outside. See docs/explanation/measurements.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.measures.masks import Mask

Floats = NDArray[np.float64]

REACH = 2.3  # larger steps, out to the neighbours whose directions the perimeter uses: eight for square pixels
MOST_PIXELS = 12  # and never more pixels than these, however flat they are

# The outline within a square of four pixels, by those of them that are inside: 1 upper left, 2 upper right, 4 lower
# left, 8 lower right. Each piece goes from side to side: Top, Left, Right, Bottom.
CROSSINGS = ("", "TL", "RT", "RL", "LB", "TB", "LTRB", "RB", "BR", "TRBL", "BT", "BL", "LR", "TR", "LT", "")
PIECES = np.array([["TLRB".index(side) for side in way.ljust(4, "T")] for way in CROSSINGS]).reshape(16, 2, 2)
COUNTS = np.array([len(way) // 2 for way in CROSSINGS])


def largest_part(mask: Mask) -> tuple[Mask, tuple[int, int], int, Floats]:
    """Cut out the largest part with filled holes.

    Args:
        mask: ``(H, W)``, not empty.

    Returns:
        The part in its bounding box, the corner of that box, the number of parts in the mask, and the outline of the
        largest, see :func:`outline_of`.
    """
    from scipy.ndimage import label

    box, (top, left) = _crop(mask)
    outline, whole = _traced(box)
    if whole:  # one outline is that of one part without holes, as most masks are
        return box, (top, left), 1, outline
    labels, components = label(box, structure=np.ones((3, 3)))
    corner = (0, 0)
    if components > 1:
        box, corner = _crop(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    around = np.ones((box.shape[0] + 2, box.shape[1] + 2), bool)
    around[1:-1, 1:-1] = ~box
    outside, regions = label(around)
    filled = box if regions == 1 else (outside != outside[0, 0])[1:-1, 1:-1]
    return filled, (top + corner[0], left + corner[1]), int(components), outline_of(filled)


def _crop(mask: Mask) -> tuple[Mask, tuple[int, int]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (int(rows[0]), int(columns[0]))


def outline_of(lesion: Mask) -> Floats:
    """Trace the outer outline, through the midpoints between pixels inside and outside; pixels connect by corners.

    The points and their order are those of ``skimage.measure.find_contours``, which joins the pieces one by one and
    takes five times as long.

    Args:
        lesion: ``(H, W)``, one part without holes, as :func:`largest_part` cuts it out.

    Example:
        >>> outline_of(np.ones((1, 2), bool)).tolist()
        [[0.5, 1.0], [0.5, 0.0], [0.0, -0.5], [-0.5, 0.0], [-0.5, 1.0], [0.0, 1.5]]
    """
    return _traced(lesion)[0]


def _traced(lesion: Mask) -> tuple[Floats, bool]:
    """The outline that ends lowest, and whether there is no other."""
    rows, columns = lesion.shape
    framed = np.zeros((rows + 2, columns + 2), np.uint8)
    framed[1:-1, 1:-1] = lesion
    squares = framed[:-1, :-1] + 2 * framed[:-1, 1:] + 4 * framed[1:, :-1] + 8 * framed[1:, 1:]
    places = np.flatnonzero((squares > 0) & (squares < 15))
    kinds, (top, left) = squares.ravel()[places], np.divmod(places, columns + 1)
    width = 2 * columns + 4  # of the grid of half pixels, on which the midpoints are numbered
    sides = np.array([1, width, width + 2, 2 * width + 1])
    ends = 2 * (top * width + left)[:, None, None] + sides[PIECES[kinds]]
    starts, stops = ends[np.arange(2) < COUNTS[kinds][:, None]].T
    order = np.argsort(starts)
    after = order[np.searchsorted(starts, stops, sorter=order)].tolist()
    last = len(after) - 1
    path = [after[last]]
    while (piece := path[-1]) != last:
        path.append(after[piece])
    return np.stack(np.divmod(starts[path], width), axis=1) / 2 - 1, len(path) == len(after)


def axes_of(outline: Floats) -> tuple[Floats, Floats]:
    """Find the ends of the longest diameter of an outline in mm, and of the longest chord perpendicular to it."""
    from scipy.spatial import ConvexHull

    hull = outline[ConvexHull(outline).vertices]
    apart = np.sqrt(((hull[:, None] - hull) ** 2).sum(axis=2))
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
    rows, columns = lesion.shape[0] + 2 * downs, lesion.shape[1] + 2 * rights
    padded = np.zeros((rows, columns), bool)
    padded[downs : rows - downs, rights : columns - rights] = lesion
    total = 0.0
    for (_, length, i, j), share in zip(lines, (gaps + np.roll(gaps, 1)) / 2, strict=True):
        here = padded[: rows - i, max(0, -j) : columns - max(0, j)]
        there = padded[i:, max(0, j) : columns + min(0, j)]
        total += share * np.count_nonzero(here != there) / length
    return float(total * steps.prod() / 2)


def offset_to_area(mask: ArrayLike, share: float) -> NDArray[np.bool_]:
    """Grow or shrink a mask evenly along its outline to a share of its area.

    Args:
        mask: ``(H, W)``, not empty.
        share: wanted area over the mask's; within the picture, and at least one pixel stays.

    Example:
        >>> square = np.zeros((9, 9), bool); square[3:6, 3:6] = True
        >>> int(offset_to_area(square, 25 / 9).sum()), int(offset_to_area(square, 1 / 9).sum())
        (25, 1)
    """
    from scipy.ndimage import distance_transform_edt

    inside = np.asarray(mask) > 0
    depth = distance_transform_edt(inside) - distance_transform_edt(~inside)
    pixels = min(inside.size, max(1, round(share * int(inside.sum()))))
    return np.asarray(depth >= np.partition(depth, inside.size - pixels, axis=None)[inside.size - pixels])
