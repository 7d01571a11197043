"""What the libraries that read files say of them, kept back: they quote values, patients' names among them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from threading import Lock

_quiet = ContextVar("quiet", default=False)
_LOGGERS = (
    "pydicom",
    "highdicom",
    "pylibjpeg",
    "openjpeg",
    "jpeg_ls",
    "PIL",
    "PIL.ImageFile",
    "PIL.PngImagePlugin",
    "PIL.TiffImagePlugin",
    "nibabel",
    "nibabel.global",
)  # with all loggers below them that are there; Pillow makes its own while it opens a picture
_BELOW = tuple(f"{each}." for each in _LOGGERS)


class _Silence(logging.Filter):
    """Drops what the libraries say in a thread that is quiet.

    It hangs on their loggers, and on whatever handles the records of those that they make only then: a module that is
    imported at its first use has a logger of its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (_quiet.get() and f"{record.name}.".startswith(_BELOW))


class _NoWarnings:
    """Ignores warnings while any thread wants it.

    Python's filters belong to the process: two threads that save and restore them by turns would let a warning through,
    or ignore warnings for good.
    """

    def __init__(self) -> None:
        self._lock, self._wanted, self._before = Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._wanted == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._wanted += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._before.__exit__(None, None, None)


_SILENCE, _NO_WARNINGS = _Silence(), _NoWarnings()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what pydicom, highdicom, nibabel, Pillow and decoders say, on the log too: they quote values.

    Example:
        >>> with quiet():
        ...     logging.getLogger("pydicom").warning("Doe^Jane")
    """
    for each in _speakers():
        each.addFilter(_SILENCE)  # once: the second time it is there already
    token = _quiet.set(True)
    try:
        with _NO_WARNINGS:
            yield
    finally:
        _quiet.reset(token)


def _speakers() -> Iterator[logging.Filterer]:
    """The loggers of the libraries that are there, for a filter does not hold below its own, and the handlers above."""
    yield from map(logging.getLogger, _names(len(logging.getLogger().manager.loggerDict)))
    yield from (handler for name in ("", *_LOGGERS) for handler in logging.getLogger(name).handlers)
    if logging.lastResort is not None:
        yield logging.lastResort


@lru_cache(maxsize=1)
def _names(_count: int) -> list[str]:
    """Names of the loggers to keep quiet, found anew when there are more."""
    return [*_LOGGERS, *(name for name in list(logging.getLogger().manager.loggerDict) if name.startswith(_BELOW))]
