"""How sure the differences are: by case, because two views of one lesion are not two observations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_lesion.report.results import Result, cases, stack

Numbers = NDArray[np.float64]

RESAMPLES = 2000


class Spread(NamedTuple):
    """A mean over seeds, its standard deviation (nan for one seed) and an interval over cases."""

    mean: float
    std: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A paired comparison with the reference network.

    ``difference`` is the mean over cases of this network minus the reference, ``cases`` those that both have.
    """

    difference: float
    p: float
    p_holm: float
    cases: int


def spread(trials: Sequence[Result], measure: str) -> Spread:
    """Mean and standard deviation over the seeds of the mean over images, and its bootstrap interval over cases.

    Args:
        trials: the seeds of one network.
        measure: ``dice``, ``hd95`` or ``hd95_monai``; images without it (missed lesions) are left out, and
            so is a seed that has it in no image.
    """
    values = stack(trials, measure)
    found = np.isfinite(values)
    means = [float(row[mask].mean()) for row, mask in zip(values, found, strict=True) if mask.any()]
    if not means:
        return Spread(math.nan, math.nan, math.nan, math.nan)
    std = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    low, high = bootstrap_interval(values, cases(trials[0]))
    return Spread(float(np.mean(means)), std, low, high)


def bootstrap_interval(
    values: Numbers, case_ids: Sequence[str], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over images, cases drawn with replacement.

    Args:
        values: nan where an image has no value; seeds are averaged.
        case_ids: the case of each image.
        level: of the interval.
        resamples: how many draws.
        seed: of the draws.

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


def case_means(trials: Sequence[Result], measure: str) -> dict[str, float]:
    """The mean of each case over its views and the seeds; nan where no view has the measure."""
    values, owners = stack(trials, measure), np.asarray(cases(trials[0]))
    means = {}
    for case in dict.fromkeys(owners.tolist()):
        own = values[:, owners == case]
        own = own[np.isfinite(own)]
        means[case] = float(own.mean()) if own.size else math.nan
    return means


def compare(networks: Mapping[str, Sequence[Result]], reference: str, measure: str = "dice") -> dict[str, Comparison]:
    """Wilcoxon's signed-rank test by case of each network against the reference, corrected after Holm.

    Args:
        networks: the seeds of each network.
        reference: whose name the others are compared with.
        measure: as of :func:`spread`.

    Returns:
        A comparison for each other network.
    """
    from scipy.stats import wilcoxon

    base = case_means(networks[reference], measure)
    found: dict[str, tuple[float, float, int]] = {}
    for name, trials in networks.items():
        if name == reference:
            continue
        own = case_means(trials, measure)
        differences = np.array([own[case] - base[case] for case in base])
        differences = differences[np.isfinite(differences)]
        p = float(wilcoxon(differences).pvalue) if np.any(differences) else (1.0 if len(differences) else math.nan)
        found[name] = float(differences.mean()) if len(differences) else math.nan, p, len(differences)
    corrected = holm([p for _, p, _ in found.values()])
    return {
        name: Comparison(difference, p, adjusted, count)
        for (name, (difference, p, count)), adjusted in zip(found.items(), corrected, strict=True)
    }


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number after Holm; nan stays and does not count.

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
