"""Quantiles that hold for the next case: against exact counts, another implementation, and repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from monai_lesion.errors import InputError
from monai_lesion.measures.quantiles import case_weights, conformal_interval, conformal_quantile, proportion_interval


@pytest.mark.parametrize("count", [9, 10, 19, 37, 100])
@pytest.mark.parametrize("miss", [0.03, 0.1, 0.5])
def test_with_one_picture_a_case_it_is_the_usual_split_conformal_quantile(count, miss):
    values = np.random.default_rng(count).standard_normal(count)
    place = math.ceil((1 - miss) * (count + 1) - 1e-9)
    wanted = math.inf if place > count else np.sort(values)[place - 1]
    assert conformal_quantile(values, [str(i) for i in range(count)], miss=miss) == wanted


def test_a_case_of_many_pictures_weighs_as_one():
    values, cases = [*range(1, 20), *[100] * 50], [*(f"c{i}" for i in range(19)), *["large"] * 50]
    one = conformal_quantile([*range(1, 20), 100], [f"c{i}" for i in range(20)], miss=0.1)
    assert conformal_quantile(values, cases, miss=0.1) == one == 19


def test_the_next_picture_of_a_new_case_is_covered_as_promised():
    draw = np.random.default_rng(0)
    covered = []
    for _ in range(400):  # a case's pictures are alike: without weights by case one case would decide
        sizes = draw.integers(1, 6, 40)
        centres = draw.standard_normal(41)
        values = np.repeat(centres[:40], sizes) + 0.1 * draw.standard_normal(sizes.sum())
        cases = np.repeat(np.arange(40).astype(str), sizes)
        low, high = conformal_interval(values, cases, level=0.8)
        covered.append(low <= centres[40] + 0.1 * draw.standard_normal() <= high)
    assert 0.77 < np.mean(covered) < 0.87


def test_weights_of_a_case_sum_to_one():
    cases = ["a", "b", "b", "c", "c", "c"]
    assert case_weights(cases).sum() == pytest.approx(3)


@pytest.mark.parametrize(("k", "n"), [(0, 13), (3, 50), (13, 13)])
def test_the_interval_of_a_proportion_is_that_of_the_beta_distribution(k, n):
    low = 0 if k == 0 else beta.ppf(0.025, k, n - k + 1)
    high = 1 if k == n else beta.ppf(0.975, k + 1, n - k)
    assert proportion_interval(k, n) == pytest.approx((low, high), abs=1e-6)


def test_no_trials_say_nothing():
    assert proportion_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("values", "cases", "miss", "message"),
    [
        ([], [], 0.1, "values: must be one number for each"),
        ([1.0], ["a", "b"], 0.1, "values: must be one number for each"),
        ([math.nan], ["a"], 0.1, "values: must be numbers, got NaN"),
        ([1.0], ["a"], 1.0, "miss: must be a probability between 0 and 1"),
    ],
)
def test_rejects(values, cases, miss, message):
    with pytest.raises(InputError, match=message):
        conformal_quantile(values, cases, miss=miss)
