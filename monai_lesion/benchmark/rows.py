"""What a benchmark has measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_lesion.benchmark.entries import Costs, Entry
from monai_lesion.benchmark.settings import PLAIN, Way

Ceiling = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A network in a runtime, as measured; what is unknown is None.

    Args:
        entry: the network.
        way: how it was run.
        costs: of the network.
        error: why it could not be measured.
        times: milliseconds of each image, a list for each turn.
        ratio: how many times faster than the plain way, median over the turns.
        megabytes: the most memory that its process had.
        file_megabytes: the model.
        instructions: what the runtime says of the instruction set that it uses.
        agreement: mean Dice of its masks with those of the plain way.
        dice: mean Dice with the labels, of a trained network.
        dice_change: the same less that of the plain way.
        share: of the machine's ceiling at this precision.
    """

    entry: Entry
    way: Way
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
    share: float | None = None

    @property
    def flops(self) -> int:
        """What is computed for one image: the plain way runs the network as published."""
        return self.costs.flops if self.way == PLAIN else self.costs.merged_flops

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
        """Images back to back, batch 1, over the time they took together."""
        values = [value for turn in self.times for value in turn]
        return 1000 * len(values) / sum(values)

    @property
    def gflops(self) -> float:
        """Operations a second, in billions."""
        return self.flops / self.milliseconds / 1e6


@dataclass
class Outcome:
    """All rows, the ceilings by precision (``"fp32-avx2"`` where limited) and kernel, and what load there was."""

    rows: list[Row] = field(default_factory=list)
    ceilings: dict[str, Ceiling] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)


def ratio_of(plain: Sequence[Sequence[float]], own: Sequence[Sequence[float]]) -> float:
    """How many times faster: the median over the turns of the ratio of their medians.

    Example:
        >>> ratio_of([[100, 100, 100], [300, 300, 300]], [[50, 10, 90], [100, 100, 100]])
        2.5
    """
    each = [statistics.median(a) / statistics.median(b) for a, b in zip(plain, own, strict=True)]
    return statistics.median(each)
