"""A queue on disk: what was received is not lost, what was sent is not sent again, whatever is killed when."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

from monai_lesion.errors import InputError

logger = logging.getLogger(__name__)


class Queue:
    """Images on their way in, results on their way out.

    ::

        incoming/JOB/IMAGE -- close -- waiting/JOB/IMAGE -- segmented -- outgoing/UID.dcm -- sent -- sent/UID
                                                |                              |
                                                +------- failed/ --------------+

    Every step is one rename, so a killed process leaves each file on one side or the other. A job is what one
    connection delivered. An image leaves ``waiting`` after its results are in ``outgoing``; killed between, it is
    segmented again, and makes the same objects of the same identifiers.

    Args:
        folder: of the queue; made when absent, for its owner alone, since patients' images lie in it.

    Raises:
        InputError: when another process uses the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        from filelock import FileLock, Timeout

        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(self.folder, "must be used by one listener at a time", got="another") from error
        self.incoming, self.waiting, self.outgoing, self.sent, self.failed = (
            self.folder / name for name in ("incoming", "waiting", "outgoing", "sent", "failed")
        )
        for each in (self.incoming, self.waiting, self.outgoing, self.sent, self.failed):
            each.mkdir(exist_ok=True, mode=0o700)
        for partial in self.folder.glob(".partial-*"):  # of a killed process, whose image still waits
            shutil.rmtree(partial)
        self._numbers = count()
        for job in sorted(self.incoming.iterdir()):  # of an earlier process: its connections are closed
            self.close(job.name)
        for result in self.results():  # confirmed, but the process was killed before it removed it
            if (self.sent / result.stem).exists():
                result.unlink()

    def release(self) -> None:
        """Let another process use the folder."""
        self._lock.release()

    def open(self) -> str:
        """A new job; later ones sort after it."""
        return f"{time.time_ns():020d}-{next(self._numbers):06d}"

    def receive(self, job: str, uid: str, content: bytes) -> None:
        """Keep an image; when this returns, it is on the disk. The same image again replaces it."""
        folder = self.incoming / job
        folder.mkdir(exist_ok=True, mode=0o700)
        file = folder / f"{sha256(uid.encode()).hexdigest()[:32]}.dcm"
        partial = file.with_name(f".partial-{file.name}")
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, file)
        for each in (folder, self.incoming):
            _flush(each)

    def close(self, job: str) -> None:
        """The job is complete: segment it."""
        folder = self.incoming / job
        if folder.is_dir():
            for partial in folder.glob(".partial-*"):  # never acknowledged, so its sender has it
                partial.unlink()
            os.replace(folder, self.waiting / job)

    def images(self) -> Iterator[Path]:
        """Images to segment, the earliest job first."""
        for job in sorted(self.waiting.iterdir()):
            yield from sorted(job.glob("*.dcm"))
            if not any(job.iterdir()):
                job.rmdir()

    def finish(self, image: Path) -> None:
        """The image's results are in ``outgoing``, or it has none."""
        image.unlink()

    def give_up(self, file: Path) -> None:
        """Set a file aside for a person to look at."""
        os.replace(file, self.failed / file.name)

    def offer(self, uid: str, file: Path) -> bool:
        """Move a result to those to send, unless it was sent; says whether it is to be sent."""
        if (self.sent / uid).exists():
            file.unlink()
            return False
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(file, self.outgoing / f"{uid}.dcm")
        _flush(self.outgoing)
        return True

    def results(self) -> list[Path]:
        """Results to send."""
        return sorted(self.outgoing.glob("*.dcm"))

    def attempt(self, result: Path) -> bool:
        """Note that a result is about to be sent; says whether that was noted before, so that it may have arrived."""
        mark = self.sent / f"{result.stem}.trying"
        tried = mark.exists()
        mark.touch()
        _flush(self.sent)
        return tried

    def confirm(self, result: Path) -> None:
        """The receiver has the result."""
        os.replace(self.sent / f"{result.stem}.trying", self.sent / result.stem)
        _flush(self.sent)
        result.unlink()


def _flush(folder: Path) -> None:
    """Have the folder's entries on the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
