"""A process that reads strangers' files: it may fail, hang or die, and the next request does not notice."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError

START = 120.0  # seconds that a new process may take to load its networks


class Worker:
    """One process that segments, started again after a failure; requests wait for their turn.

    Args:
        models: the folder of each network by its name.
        seconds: time that one request may take.
        memory: bytes of address space that the process may take; None for no limit.
    """

    def __init__(self, models: Mapping[str, Path], *, seconds: float, memory: int | None = None) -> None:
        self.models, self.seconds, self.memory = dict(models), seconds, memory
        self.turn = threading.Lock()
        self.process: Any = None
        self.pipe: Connection

    def __call__(self, request: Mapping[str, Any]) -> tuple[bytes, str]:
        """Answer a request; see :func:`monai_lesion.page.requests.answer`.

        Raises:
            InputError: for a bad request, or one that took too long or ended the process.
        """
        with self.turn:
            if self.process is None or not self.process.is_alive():
                self.start()
            try:
                self.pipe.send(dict(request))
                if not self.pipe.poll(self.seconds):
                    self.close()
                    raise InputError("file", f"must be worked on within {self.seconds:g} seconds", got="more")
                ok, *answer = self.pipe.recv()
            except (EOFError, ConnectionError):
                self.close()
                raise InputError(
                    "file", "must be a picture that can be worked on", got="one that ends the process"
                ) from None
        if not ok:
            raise InputError(answer[0])
        return answer[0], answer[1]

    def start(self) -> None:
        """Start the process and wait until its networks are loaded.

        Raises:
            InputError: when it does not start.
        """
        self.close()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.models, self.memory), daemon=True)
        self.process.start()
        theirs.close()
        try:
            said = self.pipe.recv() if self.pipe.poll(START) else f"no answer within {START:g} seconds"
        except EOFError:
            said = "the process ended"
        if said:
            self.close()
            raise InputError("models", "must load", got=said)

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def _serve(pipe: Connection, models: Mapping[str, Path], memory: int | None) -> None:
    """Answer requests until the other side is gone."""
    from monai_lesion.page.requests import answer
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

    try:
        segmenters = {name: LesionSegmenter.from_model(path) for name, path in models.items()}
        if memory is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except Exception as error:
        pipe.send(str(error))
        return
    pipe.send("")
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, *answer(segmenters, **request)))
        except InputError as error:
            pipe.send((False, str(error)))
        except Exception as error:  # a decoder's; its text may hold what a header says
            pipe.send((False, f"file: must be a readable picture, got one that fails with {type(error).__name__}"))
