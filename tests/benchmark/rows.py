"""Rows that were measured, and rows that failed."""

from __future__ import annotations

from monai_lesion.benchmark.candidates import Candidate, Costs
from monai_lesion.benchmark.rows import Row
from monai_lesion.benchmark.settings import PLAIN

TINY = Candidate("Light U-net", 0.0625)
COSTS = Costs(1_000_000, 80_000_000, 40_000_000)


def row(setting=PLAIN, times=((10.0, 20.0, 30.0), (40.0, 50.0, 60.0)), **more):
    return Row(TINY, setting, COSTS, times=times, **more)
