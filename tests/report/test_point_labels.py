"""Names beside points, checked by Matplotlib's own boxes of what it draws."""

from itertools import combinations

import pytest

from monai_lesion.report.point_labels import label_points


@pytest.fixture
def axis():
    figures = pytest.importorskip("matplotlib.figure", reason="matplotlib comes with the study extra")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = figures.Figure(figsize=(4, 4))
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.set(xlim=(0, 10), ylim=(0, 10))
    return axis


@pytest.mark.parametrize("points", [[(4, 5), (4.6, 5.1), (5, 5), (5.2, 5.2)], [(5, 5)] * 3, [(9.8, 9.9), (9.7, 0.1)]])
def test_names_cover_neither_each_other_nor_the_frame(axis, points) -> None:
    labels = label_points(axis, [f"a network, width {number}" for number in range(len(points))], points)
    axis.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    frame = axis.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_a_name_with_room_stands_right_above_its_point(axis) -> None:
    (label,) = label_points(axis, ["U-net"], [(2, 2)])
    assert label.get_position() == (5, 4)
    assert label.get_horizontalalignment() == "left"


def test_a_name_leaves_other_points_to_be_seen(axis) -> None:
    (label,) = label_points(axis, ["U-net"], [(2, 2)], others=[(2.5, 2.2)])
    box, hidden = label.get_window_extent(), axis.transData.transform((2.5, 2.2))
    assert not box.contains(*hidden)
