"""The bar with the time left that every long command shows."""

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
    """A bar of tqdm on standard error; where that is no terminal, a line appears once in half a minute.

    Args:
        items: what it goes over; None for one that is moved by ``update()``.
        title: what stands before it.
        unit: what is counted.
        total: how many, where the items do not tell.
        initial: how many are done already.
        delay: seconds until it appears, for what is mostly quick.
        shown: whether there is one at all.
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
