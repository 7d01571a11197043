"""The front of a plot, and plots as files."""

import math
from dataclasses import replace

import pytest

from monai_lesion.report.plots import pareto_front, plot_curves
from monai_lesion.report.studies import load_studies


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


@pytest.mark.parametrize("loss", [0.0, math.nan, math.inf])
def test_curves_are_drawn_around_what_a_logarithm_cannot_show(loss, output, tmp_path):
    (study,) = load_studies([output])
    trials = [replace(trial, log=[{**row, "train_loss": loss} for row in trial.log]) for trial in study.trials]
    text = plot_curves(replace(study, trials=trials), tmp_path / "curves.svg").read_text()
    assert "nan" not in text.lower()
