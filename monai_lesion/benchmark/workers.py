"""One process a row: its own memory and its own limits, idle until it is asked for a timed run.

The parent writes one JSON object a line and reads one back; a process whose parent is gone ends by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

from monai_lesion.errors import InputError


class Worker:
    """A process that answers requests.

    Args:
        name: for messages.
        start: the first request, such as ``{"job": "row", ...}``; see :mod:`monai_lesion.benchmark.jobs`.
        environment: variables that it has beside ours.
    """

    def __init__(self, name: str, start: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.name = name
        self.told = TemporaryFile()  # noqa: SIM115  # read when it dies, closed with it
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monai_lesion.benchmark.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.told,
            env={**os.environ, **environment},
            text=True,
        )
        self.send(start)

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request; its answer is fetched by :meth:`receive`."""
        try:
            _pipe(self.process.stdin).write(json.dumps(request) + "\n")
            _pipe(self.process.stdin).flush()
        except OSError:  # it died, which receive will tell
            return

    def receive(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            InputError: when the process failed or died; it names the reason.
        """
        line = _pipe(self.process.stdout).readline()
        if not line:
            code = self.process.wait()
            self.told.seek(0)
            last = self.told.read().decode(errors="replace").strip().splitlines()[-1:]
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else ", ".join([f"exit {code}", *last])
            fix = "The kernel does that when memory runs out" if code == -9 else ""
            raise InputError(self.name, "must run to its end", got=reason, fix=fix)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InputError(self.name, str(answer["error"]))
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            InputError: as :meth:`receive`.
        """
        self.send(request)
        return self.receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.told.close()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                _pipe(stream).close()
            except OSError:  # what was not sent to a process that died
                continue


def _pipe(stream: Any) -> Any:
    """A stream of a process that was started with pipes."""
    if stream is None:
        raise TypeError("the process has no pipe")
    return stream


def timed(run: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of each of ``count`` runs, one right after another, after one that is not counted."""
    run()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return times


def _end_with(parent: int) -> None:
    """End this process, whatever it computes, soon after its parent was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def serve() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Libraries may write to standard output: it becomes standard error, and answers get a pipe of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: Mapping[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    from monai_lesion.benchmark.jobs import start_job

    handle: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if handle is None:
                handle, reply = start_job(request)
            else:
                reply = handle(request)
            answer(reply)
        except Exception as error:  # whatever it is, it is this row's alone
            told = str(error).strip() or type(error).__name__
            answer({"error": told.splitlines()[0] if not isinstance(error, InputError) else told})


if __name__ == "__main__":
    serve()
