"""A separate process for each measurement, with its own memory, idle until it is asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

from monai_lesion.errors import InputError

T = TypeVar("T")


class Worker:
    """One process, started on the first request and again after it has died.

    Args:
        name: name in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pool: ProcessPoolExecutor | None = None

    def ask(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a function of a module in the process, after all earlier requests.

        Raises:
            InputError: when the function fails for any reason, or the process dies; names the reason.
        """
        if self.pool is None:
            pool, others = ProcessPoolExecutor(1, get_context("spawn"), initializer=_serve), set(active_children())
            pool.submit(os.getpid)  # which starts it
            (self.process,) = set(active_children()) - others
            self.pool = pool
        try:
            return self.pool.submit(_run, work, arguments).result()
        except BrokenProcessPool as error:
            self.pool.shutdown()  # its thread fetches the exit code, which can be fetched only once
            self.pool = None
            code = self.process.exitcode or 0
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
            fix = "The kernel does that when memory runs out" if code == -9 else ""
            raise InputError(self.name, "must run to its end", got=reason, fix=fix) from error
        except InputError as error:
            raise InputError(self.name, str(error)) from error

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self.pool is not None:
            self.process.kill()
            self.pool.shutdown()
            self.pool = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _serve() -> None:
    """Prepare the process: leave Ctrl-C to the parent, and discard what libraries print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is killed, whatever it is computing."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Run a function, and turn any error into one that the parent can read without further imports."""
    try:
        return work(*arguments)
    except InputError:
        raise
    except Exception as error:  # whatever it is, it is this row's alone
        raise InputError((str(error).strip() or type(error).__name__).splitlines()[0]) from error
