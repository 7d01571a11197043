"""Time several things side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def median_milliseconds(work: Mapping[str, Callable[[], Any]], *, turns: int) -> dict[str, float]:
    """Measure the median time of each; every round runs all of them, so that a busy machine slows them equally.

    Args:
        work: functions to time, by name.
        turns: number of rounds, after one to warm up.

    Example:
        >>> sorted(median_milliseconds({"a": list, "b": dict}, turns=3))
        ['a', 'b']
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}
