"""Average networks over their seeds, and compare them case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monai_lesion.measures.statistics import Numbers, bootstrap_interval, holm, paired_test
from monai_lesion.report.studies import TrialRecord


class Spread(NamedTuple):
    """A mean over seeds, its standard deviation (nan for one seed) and an interval over cases."""

    mean: float
    std: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A paired comparison with the reference network.

    ``difference`` is the mean over cases of this network minus the reference; ``cases`` counts those that both have.
    """

    difference: float
    p: float
    p_holm: float
    cases: int


def stack(trials: Sequence[TrialRecord], measure: str) -> Numbers:
    """Give a measure for every seed and image, ``(seeds, images)``."""
    return np.stack([trial.column(measure) for trial in trials])


def cases(trial: TrialRecord) -> list[str]:
    """Give the case of every image."""
    return [str(row["case_id"]) for row in trial.images]


def spread(trials: Sequence[TrialRecord], measure: str) -> Spread:
    """Compute mean and standard deviation over seeds of the mean over images, with a bootstrap interval over cases.

    Args:
        trials: the seeds of one network.
        measure: ``dice``, ``hd95`` or ``hd95_monai``; leaves out images without it (missed lesions)
            and seeds that have it for no image.
    """
    values = stack(trials, measure)
    means = [float(np.nanmean(row)) for row in values if not np.isnan(row).all()]
    if not means:
        return Spread(math.nan, math.nan, math.nan, math.nan)
    std = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    return Spread(float(np.mean(means)), std, *bootstrap_interval(values, cases(trials[0])))


def case_means(trials: Sequence[TrialRecord], measure: str) -> dict[str, float]:
    """Average each case over its views and the seeds; nan where no view has the measure."""
    values, owners = stack(trials, measure), np.asarray(cases(trials[0]))
    means = {}
    for case in dict.fromkeys(owners.tolist()):
        own = values[:, owners == case]
        means[case] = math.nan if np.isnan(own).all() else float(np.nanmean(own))
    return means


def compare(
    networks: Mapping[str, Sequence[TrialRecord]], reference: str, measure: str = "dice"
) -> dict[str, Comparison]:
    """Compare each network with the reference by Wilcoxon's signed-rank test over cases, with Holm's correction.

    Args:
        networks: the seeds of each network.
        reference: name of the network that the others are compared with.
        measure: see :func:`spread`.

    Returns:
        A comparison for each other network.
    """
    base = case_means(networks[reference], measure)
    others = {name: case_means(trials, measure) for name, trials in networks.items() if name != reference}
    tests = [paired_test([own[case] - base[case] for case in base]) for own in others.values()]
    corrected = holm([test.p for test in tests])
    return {
        name: Comparison(test.mean, test.p, adjusted, test.pairs)
        for name, test, adjusted in zip(others, tests, corrected, strict=True)
    }
