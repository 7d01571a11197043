"""The progress bar that every long command shows."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

_bars: WeakSet[Any] = WeakSet()


class _AboveBars(logging.Filter):
    """Clears the bars before a line of the log, which would be appended to them; they draw themselves anew."""

    def filter(self, record: logging.LogRecord) -> bool:
        for each in list(_bars):
            each.clear()
        return True


class _Lines:
    """Standard error that is not a terminal: each state of a bar becomes a line, for nothing is drawn over there."""

    @property
    def encoding(self) -> str:
        return sys.stderr.encoding

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


_ABOVE_BARS = _AboveBars()


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
    """Show a tqdm bar on standard error, below the log; if that is not a terminal, print a line every half minute.

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

    terminal = sys.stderr.isatty()
    made = tqdm(
        items,
        desc=title,
        unit=unit,
        total=total,
        initial=initial,
        delay=delay,
        disable=not shown,
        file=None if terminal else _Lines(),
        mininterval=0.2 if terminal else 30.0,
        dynamic_ncols=True,
    )
    if terminal and shown:
        _bars.add(made)
        for handler in logging.getLogger().handlers:
            if getattr(handler, "stream", None) is sys.stderr:
                handler.addFilter(_ABOVE_BARS)  # once: the second time it is there already
    return made
