"""The front of a plot, and plots as files."""

import pytest

from monai_lesion.report.plots import pareto_front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5), (2, 0.6), (3, 0.7)], [0, 1, 2]),
        ([(1, 0.7), (2, 0.6), (3, 0.7)], [0]),
        ([(2, 0.6), (2, 0.7), (1, 0.1)], [2, 1]),
        ([(5, 0.5)], [0]),
    ],
    ids=str,
)
def test_the_front_is_what_no_other_beats(points, front):
    assert pareto_front(points) == front


def test_plots_are_also_files(page):
    names = {path.name for path in (page.parent / "figures").iterdir()}
    assert names == {"made_costs.svg", "made_boxes.svg", "made_curves.svg"}
