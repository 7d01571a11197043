"""Rows of a benchmark, with their statistics."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_lesion.benchmark.candidates import Candidate, Costs
from monai_lesion.benchmark.settings import PLAIN, Setting


@dataclass(frozen=True)
class Row:
    """A network in a runtime, as measured; what is unknown is None.

    Args:
        candidate: the network.
        setting: how it was run.
        costs: costs of the network.
        error: why it could not be measured.
        times: milliseconds of each image, a list for each turn.
        ratio: how many times faster than plain PyTorch, median over the turns.
        megabytes: the most memory that its process used.
        file_megabytes: size of the model file.
        instructions: what the runtime says about the instruction set it uses.
        agreement: mean Dice of its masks with those of plain PyTorch.
        dice: mean Dice with the labels, for a trained network.
        dice_change: ``dice`` minus that of plain PyTorch.
    """

    candidate: Candidate
    setting: Setting
    costs: Costs
    error: str = ""
    times: tuple[tuple[float, ...], ...] = ()
    ratio: float | None = None
    megabytes: float | None = None
    file_megabytes: float | None = None
    instructions: str = ""
    agreement: float | None = None
    dice: float | None = None
    dice_change: float | None = None

    @property
    def flops(self) -> int:
        """Operations for one image; plain PyTorch runs the network as published."""
        return self.costs.flops if self.setting == PLAIN else self.costs.merged_flops

    @property
    def measured(self) -> bool:
        """Whether it was timed without an error."""
        return bool(self.times) and not self.error

    @property
    def milliseconds(self) -> float:
        """Median over all images."""
        return statistics.median(value for turn in self.times for value in turn)

    @property
    def slow_milliseconds(self) -> float:
        """95th percentile over all images."""
        return float(np.percentile([value for turn in self.times for value in turn], 95))

    @property
    def images_per_second(self) -> float:
        """Images per second, one after another in batches of 1."""
        values = [value for turn in self.times for value in turn]
        return 1000 * len(values) / sum(values)

    @property
    def gflops(self) -> float:
        """Billions of operations per second."""
        return self.flops / self.milliseconds / 1e6


def ratio_of(plain: Sequence[Sequence[float]], own: Sequence[Sequence[float]]) -> float:
    """Compute how many times faster: the median over turns of the ratio of their medians.

    Example:
        >>> ratio_of([[100, 100, 100], [300, 300, 300]], [[50, 10, 90], [100, 100, 100]])
        2.5
    """
    each = [statistics.median(a) / statistics.median(b) for a, b in zip(plain, own, strict=True)]
    return statistics.median(each)
