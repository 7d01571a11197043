"""A logger that says less for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_less_than(level: int, name: str = "monai_lesion") -> Iterator[None]:
    """Keep back what a logger says below a level; afterwards it is as it was.

    Args:
        level: such as ``logging.WARNING``.
        name: the logger, with those below it that have no level of their own.

    Example:
        >>> with no_less_than(logging.ERROR, "example"):
        ...     logging.getLogger("example").isEnabledFor(logging.WARNING)
        False
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
