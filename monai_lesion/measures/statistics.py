"""Confidence of means and differences, by case: two views of one lesion are not two observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RESAMPLES = 2000


class PairedTest(NamedTuple):
    """The mean of paired differences, the p-value of Wilcoxon's signed-rank test, and how many pairs there were."""

    mean: float
    p: float
    pairs: int


def bootstrap_interval(
    values: Numbers, case_ids: Sequence[str], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile interval of the mean over images, drawing cases with replacement.

    Args:
        values: nan for an image without a value; seeds are averaged.
        case_ids: the case of each image.
        level: confidence level of the interval.
        resamples: how many draws.
        seed: random seed for the draws.

    Shape:
        - values: ``(seeds, images)``

    Source:
        Efron, Tibshirani, *An introduction to the bootstrap*, 1993, chapter 13.

    Example:
        >>> low, high = bootstrap_interval(np.array([[0.9, 0.9, 0.5, 0.5]]), ["1", "1", "2", "2"])
        >>> round(low, 3), round(high, 3)
        (0.5, 0.9)
    """
    _, owner = np.unique(np.asarray(case_ids), return_inverse=True)
    count = int(owner.max()) + 1
    found = np.isfinite(values)
    sums, sizes = np.zeros(count), np.zeros(count)
    np.add.at(sums, owner, np.where(found, values, 0.0).sum(axis=0))
    np.add.at(sizes, owner, found.sum(axis=0))
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = draws @ sizes
    means = (draws @ sums)[weights > 0] / weights[weights > 0]
    if not len(means):
        return math.nan, math.nan
    edge = (1 - level) / 2 * 100
    low, high = np.percentile(means, [edge, 100 - edge])
    return float(low), float(high)


def paired_test(differences: Sequence[float] | Numbers) -> PairedTest:
    """Test differences by Wilcoxon's two-sided signed-rank test, leaving out nan.

    Args:
        differences: difference of each pair; nan where one of the two has no value.

    Example:
        >>> paired_test([1.0, 2.0, 3.0, 4.0, math.nan])
        PairedTest(mean=2.5, p=0.125, pairs=4)
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return PairedTest(math.nan, math.nan, 0)
    signed = values[values != 0]  # earlier versions of SciPy approximate where there are zeros
    p = float(wilcoxon(signed).pvalue) if len(signed) else 1.0
    return PairedTest(float(values.mean()), p, len(values))


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's procedure; nan stays nan and does not count.

    Source:
        Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted((index for index, p in enumerate(values) if not math.isnan(p)), key=values.__getitem__)
    corrected, largest = [math.nan] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[index]))
        corrected[index] = largest
    return corrected
