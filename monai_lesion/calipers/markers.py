"""The markers that scanners put at the ends of a measurement, as small bitmaps, and drawing them.

A marker is a few strokes on a square of odd side; its centre is the end of the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError

Pixels = NDArray[np.uint8]
Point = tuple[float, float]  # row, column

LIGHT_BLUE = (112, 196, 255)


def plus(arm: int, thickness: int = 1) -> NDArray[np.bool_]:
    """A horizontal and a vertical stroke that reach ``arm`` pixels from the centre.

    Example:
        >>> plus(1).astype(int).tolist()
        [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    strokes = np.zeros((2 * arm + 1, 2 * arm + 1), dtype=bool)
    low = arm - thickness // 2
    strokes[low : low + thickness] = True
    strokes[:, low : low + thickness] = True
    return strokes


def cross(arm: int, thickness: int = 1) -> NDArray[np.bool_]:
    """An x: two diagonal strokes that reach ``arm`` rows and columns from the centre.

    Example:
        >>> cross(1).astype(int).tolist()
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    """
    row, column = np.mgrid[-arm : arm + 1, -arm : arm + 1]
    near = np.minimum(np.abs(row - column), np.abs(row + column))
    return np.asarray(near < thickness)


def maltese(*, hollow: bool) -> NDArray[np.bool_]:
    """A plus whose four arms end wider than they begin; hollow, only the ends are drawn."""
    strokes = plus(5)
    if hollow:
        strokes[3:-3, 3:-3] = False
    for end in (slice(0, 2), slice(-2, None)):
        strokes[end, 4:7] = True
        strokes[4:7, end] = True
    return strokes


def graded(lines: str) -> NDArray[np.float32]:
    """Strokes that differ in brightness, from 0 to 1; the lines below the middle one mirror those above.

    Example:
        >>> graded("090 999")[:, 1].tolist()
        [1.0, 1.0, 1.0]
    """
    upper = np.array([[int(digit) for digit in line] for line in lines.split()], np.float32) / 9
    return np.concatenate([upper, upper[-2::-1]])


# The half-tone markers of the GE Logiq 5, read off pictures of BUS-BRA: averages over some of each, made symmetrical.
ASTERISK = graded("44014741044 36414841463 03645954630 01368986310 00059995000 00039993000")
DIAMOND = graded("00450005400 03750005730 06740004760 56476667465 00059995000 00059995000")
OPEN_DIAMOND = graded("01540004510 06940004960 49840004894 55584248555 00059895000 00028982000")


def marker(kind: str, arm: int, thickness: int = 1) -> NDArray[np.bool_]:
    """The strokes of a marker that can be drawn in any size.

    Raises:
        InputError: for an unknown kind, an arm below 2 pixels or a stroke wider than the arm.
    """
    shapes = {"plus": plus, "x": cross}
    if kind not in shapes:
        raise InputError("kind", f"must be one of {', '.join(shapes)}", got=repr(kind))
    if arm < 2:
        raise InputError("arm", "must be at least 2 pixels", got=arm)
    if not 1 <= thickness <= arm:
        raise InputError("thickness", "must be between 1 pixel and the arm", got=thickness)
    return shapes[kind](arm, thickness)


def draw_calipers(
    image: NDArray[Any],
    ends: Sequence[Point],
    *,
    kind: str = "plus",
    arm: int = 5,
    thickness: int = 1,
    dotted: bool = False,
    gap: int = 5,
    colour: int | Sequence[int] | None = None,
) -> Pixels:
    """A copy of a picture with a marker at each end, and dots between each two that follow each other.

    Args:
        image: 8-bit.
        ends: row and column of the markers' centres, in pixels; two for one measurement, four for two.
        kind: "plus" (the usual caliper cross) or "x".
        arm: pixels from a marker's centre to the end of its strokes.
        thickness: thickness of the strokes, in pixels.
        dotted: whether dots join the first to the second end, the third to the fourth and so on.
        gap: pixels from dot to dot.
        colour: grey or RGB; None is light blue on an RGB picture and 255 on a grey one.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``; the result is alike

    Raises:
        InputError: for another shape or type of picture, ends outside it, or as :func:`marker`.

    Example:
        >>> drawn = draw_calipers(np.zeros((20, 40), np.uint8), [(10, 8), (10, 31)], arm=3, dotted=True)
        >>> drawn[10].nonzero()[0].tolist()
        [5, 6, 7, 8, 9, 10, 11, 14, 19, 24, 28, 29, 30, 31, 32, 33, 34]
    """
    picture = checked_picture(image).copy()
    rows, columns = picture.shape[:2]
    strokes = marker(kind, arm, thickness)
    for row, column in ends:
        if not (0 <= row <= rows - 1 and 0 <= column <= columns - 1):
            raise InputError("ends", f"must lie in the picture of {rows} x {columns}", got=(row, column))
    if gap < 2:
        raise InputError("gap", "must be at least 2 pixels", got=gap)
    ink = np.asarray((LIGHT_BLUE if picture.ndim == 3 else 255) if colour is None else colour)
    for row, column in ends:
        stamp(picture, strokes, round(row), round(column), ink)
    if dotted:
        for first, second in zip(ends[::2], ends[1::2], strict=False):
            points = dots(first, second, start=arm + 3, gap=gap)
            picture[points[:, 0], points[:, 1]] = ink
    return picture


def dots(first: Point, second: Point, *, start: int, gap: int) -> NDArray[np.int64]:
    """Rows and columns of the dots between two ends, none nearer than ``start`` pixels to either."""
    step = np.subtract(second, first)
    length = float(np.hypot(*step))
    share = np.arange(start, length - start + 1, gap) / max(length, 1.0)
    return np.rint(np.asarray(first) + share[:, None] * step).astype(np.int64)


def stamp(picture: Pixels, strokes: NDArray[np.bool_], row: int, column: int, ink: NDArray[Any] | bool) -> None:
    """Set the pixels under the strokes, in place; what lies outside the picture is cut off."""
    around = strokes.shape[0] // 2
    top, left = row - around, column - around
    high, wide = max(0, -top), max(0, -left)
    part = picture[max(0, top) : top + strokes.shape[0], max(0, left) : left + strokes.shape[1]]
    part[strokes[high : high + part.shape[0], wide : wide + part.shape[1]]] = ink


def checked_picture(image: NDArray[Any]) -> Pixels:
    """The picture itself, if it is one.

    Raises:
        InputError: when it is not unsigned 8-bit ``(H, W)`` or ``(H, W, 3)`` of at least 16 x 16 pixels.
    """
    array = np.asarray(image)
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not good or array.dtype != np.uint8 or min(array.shape[:2]) < 16:
        rule = "must be unsigned 8-bit (H, W) or (H, W, 3) of at least 16 x 16 pixels"
        raise InputError("image", rule, got=f"{array.dtype} {array.shape}")
    return array
