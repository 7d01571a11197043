"""Intervals and tests against closed forms and other implementations."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from monai_lesion.measures.statistics import bootstrap_interval, holm, paired_test


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_of_single_views_is_scipys(level):
    values = np.random.default_rng(0).beta(8, 2, 60)
    low, high = bootstrap_interval(values[None], [str(n) for n in range(60)], level=level, resamples=20_000)
    options = {"confidence_level": level, "method": "percentile", "n_resamples": 20_000, "random_state": 1}
    other = bootstrap((values,), np.mean, **options).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=3e-3)


def test_interval_is_at_95_percent_and_repeats_itself_unless_asked():
    values, cases = np.random.default_rng(0).beta(8, 2, (1, 60)), [str(n) for n in range(60)]
    usual = bootstrap_interval(values, cases)
    assert usual == bootstrap_interval(values, cases, level=0.95, resamples=2000, seed=0)
    assert usual != bootstrap_interval(values, cases, seed=1)
    low, high = bootstrap_interval(values, cases, level=0)
    assert low == high  # both are the median of the draws


def test_interval_of_two_cases_and_of_four_is_that_of_their_few_draws():
    """Two cases: the mean is 0, a half or 1 in 1, 2 and 1 of 4 draws. Four: all four are the best in 1 of 256."""
    two = {"values": np.array([[0.0, 1.0]]), "case_ids": ["1", "2"], "resamples": 200_000}
    assert bootstrap_interval(**two, level=0.48) == (0.5, 0.5)
    assert bootstrap_interval(**two, level=0.52) == (0.0, 1.0)
    assert bootstrap_interval(np.array([[0.0, 0.0, 0.0, 1.0]]), list("1234"), level=1, resamples=20_000) == (0, 1)


def test_seeds_are_averaged():
    values, cases = np.random.default_rng(0).beta(8, 2, (2, 12)), [str(n // 2) for n in range(12)]
    both = bootstrap_interval(values, cases)
    assert both == pytest.approx(bootstrap_interval(values.mean(axis=0)[None], cases))
    assert both == pytest.approx(bootstrap_interval(values[::-1], cases))


def test_image_without_a_value_counts_for_nothing():
    values = np.array([[0.9, math.nan, 0.5, 0.6, math.inf, 0.7]])
    found = np.isfinite(values[0])
    cases = np.array(["1", "1", "2", "2", "3", "3"])
    assert bootstrap_interval(values, list(cases)) == bootstrap_interval(values[:, found], list(cases[found]))
    assert bootstrap_interval(np.array([[math.nan, 0.5]]), ["1", "2"]) == (0.5, 0.5)
    assert np.isnan(bootstrap_interval(np.array([[math.nan, math.nan]]), ["1", "2"])).all()


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
        ([0.9, 0.8], [1.0, 1.0]),
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
    assert paired_test([1.0, 2.0, 0.0, 3.0, 4.0, 5.0]) == (2.5, found.p, 6)  # one that is 0 has no sign
    assert np.isnan(paired_test([math.nan])[:2]).all()
    assert paired_test([math.nan]).pairs == 0


def test_a_paired_test_of_few_differences_counts_the_signs_that_give_as_small_a_sum_of_ranks():
    """Ranks 1 to 4, the negative one of rank 2: 3 of the 16 signs give a smaller or equal sum, {}, {1} and {2}."""
    assert paired_test([1.0, -2.0, 3.0, 4.0]) == (1.5, pytest.approx(2 * 3 / 16), 4)
    assert paired_test([-1.0, 2.0, -3.0, -4.0]) == (-1.5, pytest.approx(2 * 3 / 16), 4)
