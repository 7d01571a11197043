"""Networks over seeds and against each other, against closed forms and other implementations."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from monai_lesion.report.comparisons import case_means, compare, spread
from monai_lesion.report.studies import TrialRecord


def result(values, seed=0, cases=None):
    """A trial whose images have these Dice, two views a case."""
    names = cases or [str(number // 2) for number in range(len(values))]
    rows = [
        {"image": str(n), "case_id": case, "dice": value, "hd95": math.nan if value == 0 else 10 * (1 - value)}
        for n, (value, case) in enumerate(zip(values, names, strict=True))
    ]
    return TrialRecord(Path("."), {"entry": "x", "seed": seed}, (), rows)


def test_spread_is_over_the_seeds_of_the_mean_over_images():
    found = spread([result([0.8, 0.6]), result([0.9, 0.7]), result([1.0, 0.8])], "dice")
    assert found.mean == pytest.approx(0.8)
    assert found.std == pytest.approx(np.std([0.7, 0.8, 0.9], ddof=1))


def test_one_seed_has_no_standard_deviation():
    assert math.isnan(spread([result([0.8, 0.6])], "dice").std)


def test_a_missed_lesion_is_left_out_of_the_distance_but_not_of_dice():
    trial = result([0.0, 0.8])
    assert spread([trial], "dice").mean == pytest.approx(0.4)
    assert spread([trial], "hd95").mean == pytest.approx(2.0)


def test_an_image_without_a_lesion_is_left_out_of_dice_and_its_case_of_the_test():
    trials = [result([0.8, 0.6, 1.0, 0.0], cases=["a", "a", "n", "n"]), result([0.7, 0.5, 0.0, 0.0])]
    for trial in trials:
        for number, row in enumerate(trial.images):
            row.update(lesions=0 if number > 1 else 1, case_id="aann"[number])
    assert spread(trials[:1], "dice").mean == pytest.approx(0.7)
    assert math.isnan(case_means(trials[:1], "dice")["n"])
    other = compare({"x": trials[:1], "y": trials[1:]}, "x")["y"]
    assert (other.difference, other.cases) == (pytest.approx(-0.1), 1)


def test_labels_of_an_image_are_one_file_several_or_none():
    rows = [{"label": "m.png"}, {"label": '["m.png", "n.png"]'}, {"label": "", "lesions": 0}, {"label": ""}]
    trial = TrialRecord(Path("."), {"manifest": {"dataset_dir": "/data"}}, (), rows)
    names = [[path.relative_to("/data").as_posix() for path in trial.labels(number)] for number in range(4)]
    assert names == [["m.png"], ["m.png", "n.png"], [], ["absent"]]


def test_a_network_that_finds_nothing_has_no_distance():
    assert math.isnan(spread([result([0.0, 0.0])], "hd95").mean)


def test_a_seed_that_finds_nothing_does_not_take_the_distance_of_the_others():
    assert spread([result([0.0, 0.0]), result([0.8, 0.6])], "hd95").mean == pytest.approx(3.0)


def test_case_means_are_over_views_and_seeds():
    means = case_means([result([0.8, 0.6, 0.0, 0.0]), result([1.0, 0.8, 0.0, 0.0])], "hd95")
    assert means["0"] == pytest.approx(2.0)
    assert math.isnan(means["1"])


def test_comparison_is_wilcoxons_test_of_the_case_means():
    generator = np.random.default_rng(1)
    base = generator.uniform(0.6, 0.9, 40)
    better = base + generator.normal(0.02, 0.03, 40)
    found = compare({"base": [result(base)], "better": [result(better)]}, "base")["better"]
    differences = (better - base).reshape(-1, 2).mean(axis=1)
    assert found.difference == pytest.approx(differences.mean())
    assert found.p == pytest.approx(wilcoxon(differences).pvalue)
    assert (found.p_holm, found.cases) == (found.p, 20)


def test_equal_networks_do_not_differ():
    same = [result([0.8, 0.6, 0.7, 0.9])]
    assert compare({"a": same, "b": same}, "a")["b"][:2] == (0.0, 1.0)


def test_a_distance_is_compared_where_both_networks_have_one():
    networks = {"a": [result([0.8, 0.6, 0.0, 0.0])], "b": [result([0.7, 0.5, 0.9, 0.9])]}
    assert compare(networks, "a", "hd95")["b"].cases == 1
