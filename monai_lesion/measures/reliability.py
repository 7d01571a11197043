"""How well a signal tells good masks from bad: curves to calibrate with, and curves to judge by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError
from monai_lesion.measures.quantiles import case_weights

Numbers = NDArray[np.float64]


class Bin(NamedTuple):
    """One bin of a reliability diagram: how many, their mean estimate, and the mean of what came out."""

    pictures: int
    estimate: float
    outcome: float


class RiskCoverage(NamedTuple):
    """The mean error of the share of pictures that are trusted most.

    Args:
        coverage: shares, rising to 1.
        risk: mean error, 1 - Dice, of each share.
        area: below the curve; 0 is perfect.
    """

    coverage: Numbers
    risk: Numbers
    area: float


def isotonic_curve(signal: ArrayLike, outcome: ArrayLike, case_ids: Sequence[str]) -> tuple[list[float], list[float]]:
    """Fit the rising curve from a signal to the outcome it stands for, both from 0 to 1.

    Isotonic regression is a staircase, which gives many pictures the same value. Its steps are joined through their
    centres here (centred isotonic regression), and the curve ends in (0, 0) and (1, 1).

    Args:
        signal: one for each picture.
        outcome: what came out.
        case_ids: the case of each; each case weighs the same.

    Returns:
        Places and values of the curve's corners; between them it is straight.

    Raises:
        InputError: when scikit-learn is not installed.

    Source:
        Oron, Flournoy, *Centered isotonic regression*, Stat. Biopharm. Res. 9, 2017.

    Example:
        >>> isotonic_curve([0.2, 0.4, 0.6, 0.8], [0.3, 0.1, 0.7, 0.9], list("abcd"))
        ([0.0, 0.3, 0.6, 0.8, 1.0], [0.0, 0.2, 0.7, 0.9, 1.0])
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        fix = "pip install 'monai-lesion[trust]'"
        raise InputError("calibration", "needs scikit-learn", got=str(error), fix=fix) from error
    regression = IsotonicRegression(y_min=0.0, y_max=1.0)
    x, y, weights = np.asarray(signal, np.float64), np.asarray(outcome, np.float64), case_weights(case_ids)
    steps = np.round(regression.fit_transform(x, y, sample_weight=weights), 9)
    levels = np.unique(steps)
    centres = [float(np.average(x[steps == level], weights=weights[steps == level])) for level in levels]
    places, values = [0.0], [0.0]
    for place, value in zip([*centres, 1.0], [*levels, 1.0], strict=True):
        if place > places[-1] + 1e-6 and value >= values[-1]:
            places.append(round(place, 6))
            values.append(round(float(value), 6))
    return places, values


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """The probability that a positive scores higher than a negative, ties counting half; nan without either.

    Source:
        Mann, Whitney, 1947; Hanley, McNeil, Radiology 143, 1982.

    Example:
        >>> auc([0.9, 0.5], [0.1, 0.5])
        0.875
    """
    from scipy.stats import rankdata

    high, low = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    if not len(high) or not len(low):
        return math.nan
    ranks = rankdata(np.concatenate([high, low]))
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's correlation; nan for fewer than three, or where one does not vary.

    Example:
        >>> rank_correlation([1, 2, 3], [10, 30, 20])
        0.5
    """
    from scipy.stats import rankdata

    first, second = (rankdata(np.asarray(values, np.float64)) for values in (one, other))
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(round(np.corrcoef(first, second)[0, 1], 12))


def reliability(estimate: ArrayLike, outcome: ArrayLike, *, bins: int = 10) -> list[Bin]:
    """Compare estimates with outcomes, in bins of equal numbers.

    Example:
        >>> reliability([0.1, 0.3, 0.8, 0.8], [0, 0.4, 0.7, 0.9], bins=2)
        [Bin(pictures=2, estimate=0.2, outcome=0.2), Bin(pictures=2, estimate=0.8, outcome=0.8)]
    """
    x, y = np.asarray(estimate, np.float64), np.asarray(outcome, np.float64)
    parts = np.array_split(np.argsort(x, kind="stable"), min(bins, len(x)))
    return [Bin(len(part), float(x[part].mean()), float(y[part].mean())) for part in parts if len(part)]


def calibration_error(estimate: ArrayLike, outcome: ArrayLike, *, bins: int = 10) -> float:
    """The mean difference of estimate and outcome over the bins of :func:`reliability`, each by its number."""
    found = reliability(estimate, outcome, bins=bins)
    return sum(each.pictures * abs(each.estimate - each.outcome) for each in found) / sum(
        each.pictures for each in found
    )


def risk_coverage(trust: ArrayLike, dice: ArrayLike) -> RiskCoverage:
    """Compute the mean error over the share of pictures that are trusted most.

    Source:
        El-Yaniv, Wiener, JMLR 11, 2010; area as in Geifman et al., ICLR 2019.

    Raises:
        InputError: for no pictures.

    Example:
        >>> curve = risk_coverage([0.9, 0.5, 0.7], [1.0, 0.4, 0.8])
        >>> curve.risk.round(3).tolist(), round(curve.area, 3)
        ([0.0, 0.1, 0.267], 0.122)
    """
    x, y = np.asarray(trust, np.float64), np.asarray(dice, np.float64)
    if not len(x):
        raise InputError("trust", "must be of at least one picture", got="none")
    errors = 1 - y[np.argsort(-x, kind="stable")]
    counts = np.arange(1, len(errors) + 1)
    risk = np.cumsum(errors) / counts
    return RiskCoverage(counts / len(errors), risk, float(risk.mean()))
