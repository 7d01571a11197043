"""Curves of trust: against scikit-learn, SciPy, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, spearmanr

from monai_lesion.errors import InputError
from monai_lesion.measures.reliability import (
    auc,
    calibration_error,
    isotonic_curve,
    rank_correlation,
    reliability,
    risk_coverage,
)

DRAW = np.random.default_rng(0)
SIGNAL = DRAW.random(80)
OUTCOME = np.clip(SIGNAL**2 + 0.1 * DRAW.standard_normal(80), 0, 1)


def test_the_curve_rises_and_is_near_the_truth():
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra trust")
    x, y = isotonic_curve(SIGNAL, OUTCOME, [str(i) for i in range(80)])
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert all(np.diff(x) > 0)
    assert all(np.diff(y) >= 0)
    places = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.interp(places, x, y) - places**2).max() < 0.12


def test_pictures_of_one_case_pull_as_one():
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra trust")
    signal, outcome = [0.4, 0.6, *[0.6] * 9], [0.2, 0.9, *[0.5] * 9]
    x, y = isotonic_curve(signal, outcome, ["a", "b", *["c"] * 9])
    assert np.interp(0.6, x, y) == pytest.approx(0.7)  # the mean of two cases, not of ten pictures


def test_auc_is_that_of_mann_and_whitney():
    positives, negatives = np.round(DRAW.random(30), 1), np.round(DRAW.random(20) - 0.2, 1)
    wanted = mannwhitneyu(positives, negatives).statistic / 600
    assert auc(positives, negatives) == pytest.approx(wanted)
    assert math.isnan(auc([], [1.0]))


def test_rank_correlation_is_spearmans():
    one, other = np.round(SIGNAL, 1), OUTCOME
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_bins_hold_all_pictures_and_their_means():
    bins = reliability(SIGNAL, OUTCOME, bins=7)
    assert sum(each.pictures for each in bins) == 80
    assert sum(each.pictures * each.outcome for each in bins) == pytest.approx(OUTCOME.sum())
    assert [each.estimate for each in bins] == sorted(each.estimate for each in bins)
    assert calibration_error(OUTCOME, OUTCOME) == 0


def test_the_best_order_has_the_smallest_area_and_all_end_at_the_mean_error():
    best, worst, mixed = (risk_coverage(order, OUTCOME) for order in (OUTCOME, -OUTCOME, SIGNAL))
    assert best.area < mixed.area < worst.area
    assert best.risk[-1] == pytest.approx(1 - OUTCOME.mean()) == worst.risk[-1]
    assert mixed.coverage[-1] == 1
    with pytest.raises(InputError, match="trust: must be of at least one picture"):
        risk_coverage([], [])
