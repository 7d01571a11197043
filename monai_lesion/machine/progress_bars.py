"""The progress bar that every long command shows."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def bar(
    items: Iterable[Any] | None = None,
    *,
    title: str,
    unit: str = "image",
    total: int | None = None,
    initial: int = 0,
    delay: float = 0.0,
    shown: bool = True,
) -> Any:
    """Show a tqdm bar on standard error; if that is not a terminal, print a line every half minute.

    Args:
        items: what to iterate over; None for a bar that you move by ``update()``.
        title: text before the bar.
        unit: what is counted.
        total: number of items, if they have no length.
        initial: number of items already done.
        delay: seconds before the bar appears, for work that is usually quick.
        shown: whether to show the bar at all.
    """
    from tqdm import tqdm

    return tqdm(
        items,
        desc=title,
        unit=unit,
        total=total,
        initial=initial,
        delay=delay,
        disable=not shown,
        mininterval=0.2 if sys.stderr.isatty() else 30.0,
        dynamic_ncols=True,
    )
