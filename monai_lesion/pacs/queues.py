"""A queue on disk that survives a kill: received images are not lost, sent results are not sent again."""

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
    """Images that wait to be segmented, and results that wait to be sent.

    ::

        incoming/JOB/IMAGE -- close -- waiting/JOB/IMAGE -- segmented -- outgoing/UID.dcm -- sent -- sent/UID
                                                |                              |
                                                +------- failed/ --------------+

    Every step is one rename, so a killed process leaves each file in one place or the other. A job is what one
    connection delivered. An image leaves ``waiting`` after its results are in ``outgoing``; if the process is killed in
    between, it is segmented again and gives the same objects with the same identifiers.

    Args:
        folder: folder of the queue; created if needed, readable by its owner only, because it holds patients' images.

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
        """Make a new job; later ones sort after it."""
        return f"{time.time_ns():020d}-{next(self._numbers):06d}"

    def receive(self, job: str, uid: str, content: bytes) -> None:
        """Store an image, which is on disk when this returns; the same image again replaces it."""
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
        """Mark the job as complete, ready to be segmented."""
        folder = self.incoming / job
        if folder.is_dir():
            for partial in folder.glob(".partial-*"):  # never acknowledged, so its sender has it
                partial.unlink()
            os.replace(folder, self.waiting / job)

    def images(self) -> Iterator[Path]:
        """List the images to segment, earliest job first."""
        for job in sorted(self.waiting.iterdir()):
            yield from sorted(job.glob("*.dcm"))
            if not any(job.iterdir()):
                job.rmdir()

    def finish(self, image: Path) -> None:
        """Remove an image whose results are in ``outgoing``, or that has none."""
        image.unlink()

    def give_up(self, file: Path) -> None:
        """Set a file aside for a person to look at."""
        os.replace(file, self.failed / file.name)

    def offer(self, uid: str, file: Path) -> bool:
        """Queue a result for sending, unless it was already sent; return whether it was queued."""
        if (self.sent / uid).exists():
            file.unlink()
            return False
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(file, self.outgoing / f"{uid}.dcm")
        _flush(self.outgoing)
        return True

    def results(self) -> list[Path]:
        """List the results to send."""
        return sorted(self.outgoing.glob("*.dcm"))

    def attempt(self, result: Path) -> bool:
        """Record an attempt to send a result; return whether there was an earlier one, which may have arrived."""
        mark = self.sent / f"{result.stem}.trying"
        tried = mark.exists()
        mark.touch()
        _flush(self.sent)
        return tried

    def confirm(self, result: Path) -> None:
        """Mark a result as received."""
        os.replace(self.sent / f"{result.stem}.trying", self.sent / result.stem)
        _flush(self.sent)
        result.unlink()


def _flush(folder: Path) -> None:
    """Flush the folder's entries to disk, if the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
