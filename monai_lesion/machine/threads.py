"""Threads of the linear algebra behind NumPy and SciPy."""

from __future__ import annotations

from contextlib import ContextDecorator
from threading import Lock
from typing import Any


class _OneBlasThread(ContextDecorator):
    """Lets NumPy and SciPy calculate with one thread while any thread of Python wants it.

    Between many small products the threads of OpenBLAS wait actively, and take the time of what comes next: on two
    cores calipers take three times the processor's time to find, and twice ours. The limit belongs to the process, so
    who wants it first sets it, and who wants it last restores what was there.
    """

    def __init__(self) -> None:
        self._lock, self._wanted = Lock(), 0
        self._limits: Any = None

    def __enter__(self) -> None:
        import scipy.linalg  # noqa: F401 (a library that is not loaded yet cannot be limited)
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._wanted == 0:
                self._limits = threadpool_limits(1, user_api="blas")
            self._wanted += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._limits.restore_original_limits()


one_blas_thread = _OneBlasThread()
