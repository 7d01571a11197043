"""Intervals and tests against closed forms and other implementations."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from monai_lesion.measures.statistics import bootstrap_interval, holm, paired_test


def test_interval_of_single_views_is_scipys():
    values = np.random.default_rng(0).beta(8, 2, 60)
    low, high = bootstrap_interval(values[None], [str(n) for n in range(60)], resamples=20_000)
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, random_state=1).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=3e-3)


def test_two_views_that_agree_are_one_observation():
    values = np.random.default_rng(0).beta(8, 2, 60)
    twice, names = np.repeat(values, 2)[None], [str(n // 2) for n in range(120)]
    paired = bootstrap_interval(twice, names)
    assert paired == pytest.approx(bootstrap_interval(values[None], [str(n) for n in range(60)]))
    apart = bootstrap_interval(twice, [str(n) for n in range(120)])
    assert paired[1] - paired[0] > 1.2 * (apart[1] - apart[0])


# Worked by hand: the smallest is multiplied by 4, the next by 3, ..., and none falls below the one before.
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, math.nan, 0.03], [0.04, math.nan, 0.04]),
        ([], []),
    ],
    ids=str,
)
def test_holm(values, expected):
    assert holm(values) == pytest.approx(expected, nan_ok=True)


def test_a_paired_test_of_equal_sizes_is_the_sign_test_and_leaves_out_what_has_no_pair():
    """Where all differences are of one sign, each of the 2 ** 5 signs is as likely as any other."""
    found = paired_test([1.0, 2.0, math.nan, 3.0, 4.0, 5.0])
    assert found == (3.0, pytest.approx(binomtest(5, 5).pvalue), 5)
    assert paired_test([0.0, 0.0]) == (0.0, 1.0, 2)
    assert np.isnan(paired_test([math.nan])[:2]).all()
