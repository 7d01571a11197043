"""Place names beside the points of a plot so that they cover neither each other nor a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

PLACES = [(x, y, side) for y in (4, -9, 14, -19, 24, -29) for x, side in ((5, "left"), (-5, "right"))]  # in points
CLEAR = 5  # pixels around a point


def label_points(
    axis: Any,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    others: Sequence[tuple[float, float]] = (),
    size: float = 7,
) -> list[Any]:
    """Write each name where it covers least: first right of its point, then left, then farther above and below.

    Args:
        axis: Matplotlib axes with their final scale, limits and figure size.
        names: a text for each point.
        points: positions in data units.
        others: positions of unnamed points, which names must not cover either.
        size: font size in points.

    Returns:
        The annotations drawn.
    """
    from matplotlib.transforms import Bbox

    axis.figure.draw_without_rendering()
    frame = axis.get_window_extent()
    taken = [Bbox([place - CLEAR, place + CLEAR]) for place in map(axis.transData.transform, [*points, *others])]
    labels = []
    for name, point in zip(names, points, strict=True):
        label = axis.annotate(name, point, xytext=(0, 0), textcoords="offset points", fontsize=size)
        best = min(_tried(label), key=lambda place: _covered(place[1], taken, frame))
        _move(label, best[0])
        taken.append(best[1])
        labels.append(label)
    return labels


def _tried(label: Any) -> Iterator[tuple[tuple[float, float, str], Any]]:
    for place in PLACES:
        _move(label, place)
        yield place, label.get_window_extent()


def _move(label: Any, place: tuple[float, float, str]) -> None:
    label.set_position(place[:2])
    label.set_horizontalalignment(place[2])


def _covered(box: Any, taken: Sequence[Any], frame: Any) -> float:
    """Count the square pixels of a box that cover something else or lie outside the frame."""
    area: float = box.width * box.height
    return sum(_shared(box, other) for other in taken) + area - _shared(box, frame)


def _shared(one: Any, other: Any) -> float:
    width: float = min(one.x1, other.x1) - max(one.x0, other.x0)
    height: float = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)
