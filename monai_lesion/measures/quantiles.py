"""Thresholds and quantiles that hold for the next case, from a limited number of calibration cases.

MAPIE and puncc calibrate on exchangeable observations. Two views of one lesion are not: here each case weighs the same,
however many pictures it has, which neither offers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError

Numbers = NDArray[np.float64]


def conformal_quantile(values: ArrayLike, case_ids: Sequence[str], *, miss: float) -> float:
    """Find the value that the next picture of a new case exceeds with a probability of at most ``miss``.

    Args:
        values: one for each picture.
        case_ids: the case of each; cases are exchangeable, their pictures need not be.
        miss: probability of exceeding it.

    Returns:
        The quantile; infinite where there are too few cases for it, fewer than ``1 / miss - 1``.

    Raises:
        InputError: for no values, NaN, or a probability outside 0 to 1.

    Source:
        Lee, Barber, Willett, *Distribution-free inference with hierarchical data*, 2023 (HCP); with one picture per
        case it is the usual split conformal quantile: Vovk et al., *Algorithmic learning in a random world*, 2005.

    Example:
        >>> conformal_quantile(range(1, 20), list("abcdefghijklmnopqrs"), miss=0.1)
        18.0
        >>> conformal_quantile([1, 2], ["a", "b"], miss=0.1)
        inf
    """
    numbers, weights = _checked(values, case_ids)
    if not 0 < miss < 1:
        raise InputError("miss", "must be a probability between 0 and 1", got=miss)
    order = np.argsort(numbers, kind="stable")
    cases = round(float(weights.sum()))
    reached = np.cumsum(weights[order]) / (cases + 1)
    place = int(np.searchsorted(reached, 1 - miss - 1e-12))
    return float(numbers[order][place]) if place < len(numbers) else math.inf


def conformal_interval(values: ArrayLike, case_ids: Sequence[str], *, level: float) -> tuple[float, float]:
    """Find the interval that holds the value of the next picture with probability ``level`` or more.

    It misses with equal probability on either side; ends are infinite where there are too few cases.

    Args:
        values: see :func:`conformal_quantile`.
        case_ids: see :func:`conformal_quantile`.
        level: the probability.

    Raises:
        InputError: see :func:`conformal_quantile`.

    Example:
        >>> conformal_interval(range(1, 40), [str(i) for i in range(39)], level=0.9)
        (2.0, 38.0)
    """
    numbers, miss = np.asarray(values, np.float64), (1 - level) / 2
    return -conformal_quantile(-numbers, case_ids, miss=miss), conformal_quantile(numbers, case_ids, miss=miss)


def case_weights(case_ids: Sequence[str]) -> Numbers:
    """The weight of each picture, such that each case weighs 1.

    Example:
        >>> case_weights(["a", "b", "b"]).tolist()
        [1.0, 0.5, 0.5]
    """
    _, owner, counts = np.unique(np.asarray(case_ids), return_inverse=True, return_counts=True)
    return 1.0 / counts[owner].astype(np.float64)


def proportion_interval(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the exact interval of a proportion (Clopper and Pearson); 0 to 1 without trials.

    Example:
        >>> low, high = proportion_interval(0, 13)
        >>> round(low, 3), round(high, 3)
        (0.0, 0.247)
    """
    if not trials:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found = binomtest(successes, trials).proportion_ci(confidence_level=level)
    return float(found.low), float(found.high)


def _checked(values: ArrayLike, case_ids: Sequence[str]) -> tuple[Numbers, Numbers]:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) != len(case_ids) or not len(numbers):
        rule = "must be one number for each of the pictures, at least one"
        raise InputError("values", rule, got=f"{numbers.shape} for {len(case_ids)}")
    if np.isnan(numbers).any():
        raise InputError("values", "must be numbers", got="NaN")
    return numbers, case_weights(case_ids)
