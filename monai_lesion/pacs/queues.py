"""Queues on disk that survive a kill: received images are not lost, sent results are not sent again."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from monai_lesion.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)


def locked(folder: Path) -> BaseFileLock:
    """Make a folder of patients' images, which only its owner may open, and take it for this process alone.

    Raises:
        InputError: when another process uses it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(folder, "must be used by one listener at a time", got="another") from error
    return lock


class Inbox:
    """Images that wait to be segmented.

    ::

        incoming/JOB/IMAGE -- close -- waiting/JOB/IMAGE -- segmented -- gone
                                                |
                                                +-- failed/

    A job is what one connection delivered; its name holds the moment and who sent it.

    Args:
        folder: where these folders are; it must be this process's alone, see :func:`locked`.
        least_free: bytes of the disk that images leave free.
    """

    def __init__(self, folder: Path, least_free: int = 0) -> None:
        self.folder, self._least_free = folder, least_free
        self.incoming, self.waiting, self.failed = (folder / name for name in ("incoming", "waiting", "failed"))
        for each in (self.incoming, self.waiting, self.failed):
            each.mkdir(exist_ok=True, mode=0o700)
        for partial in folder.glob(".partial-*"):  # of a killed process, whose image still waits
            shutil.rmtree(partial)
        self._numbers = count()
        for job in sorted(self.incoming.iterdir()):  # of an earlier process: its connections are closed
            self.close(job.name)

    def open(self, sender: str = "") -> str:
        """Make a new job; later ones sort after it."""
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}"
        return f"{name}-{quote(sender, safe='')}" if sender else name

    def receive(self, job: str, uid: str, content: bytes) -> Path:
        """Store an image, which is on disk when this returns; the same image again replaces it.

        Raises:
            OSError: when there is no room for it; nothing of it is left.
        """
        folder = self.incoming / job
        if self._least_free and shutil.disk_usage(self.folder).free - len(content) < self._least_free:
            raise OSError(errno.ENOSPC, f"less than {self._least_free >> 20} MB would be left on the disk")
        folder.mkdir(exist_ok=True, mode=0o700)
        file = folder / f"{sha256(uid.encode()).hexdigest()[:32]}.dcm"
        partial = file.with_name(f".partial-{file.name}")
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, file)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        for each in (folder, self.incoming):
            flush(each)
        return file

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
        """Remove an image whose results wait to be sent, or that has none."""
        image.unlink()

    def give_up(self, file: Path) -> None:
        """Set a file aside for a person to look at."""
        os.replace(file, self.failed / file.name)


class Outbox(ABC):
    """Results that wait to be sent.

    ::

        outgoing/UID.dcm -- sent -- gone
              |
              +-- failed/

    Args:
        folder: where these folders are; it must be this process's alone, see :func:`locked`.
    """

    def __init__(self, folder: Path) -> None:
        self.outgoing, self.failed = folder / "outgoing", folder / "failed"
        for each in (self.outgoing, self.failed):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    @abstractmethod
    def known(self, uid: str) -> bool:
        """Whether a result was sent."""

    @abstractmethod
    def tried(self, result: Path) -> bool:
        """Whether there was an attempt to send a result."""

    @abstractmethod
    def attempt(self, result: Path) -> bool:
        """Record an attempt to send a result; return whether there was an earlier one, which may have arrived."""

    @abstractmethod
    def confirm(self, result: Path) -> None:
        """Mark a result as received."""

    def offer(self, uid: str, file: Path) -> bool:
        """Queue a result for sending, unless it was already sent; return whether it was queued."""
        if self.known(uid):
            file.unlink()
            return False
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(file, self.outgoing / f"{uid}.dcm")
        flush(self.outgoing)
        return True

    def results(self) -> list[Path]:
        """List the results to send, oldest first."""
        return sorted(self.outgoing.glob("*.dcm"), key=lambda each: (each.stat().st_mtime_ns, each.name))

    def give_up(self, file: Path) -> None:
        """Set a result aside for a person to look at."""
        os.replace(file, self.failed / file.name)


class MarkedOutbox(Outbox):
    """Results that wait to be sent, and an empty file for each that was.

    ::

        outgoing/UID.dcm -- sent -- sent/UID
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sent = folder / "sent"
        self.sent.mkdir(exist_ok=True, mode=0o700)
        for result in self.results():  # confirmed, but the process was killed before it removed it
            if self.known(result.stem):
                result.unlink()

    def known(self, uid: str) -> bool:
        """Whether a result was sent."""
        return (self.sent / uid).exists()

    def tried(self, result: Path) -> bool:
        """Whether there was an attempt to send a result."""
        return (self.sent / f"{result.stem}.trying").exists()

    def attempt(self, result: Path) -> bool:
        """Record an attempt to send a result; return whether there was an earlier one, which may have arrived."""
        tried = self.tried(result)
        (self.sent / f"{result.stem}.trying").touch()
        flush(self.sent)
        return tried

    def confirm(self, result: Path) -> None:
        """Mark a result as received."""
        os.replace(self.sent / f"{result.stem}.trying", self.sent / result.stem)
        flush(self.sent)
        result.unlink()


class Queue(Inbox, MarkedOutbox):
    """Images that wait to be segmented, and results that wait to be sent to one place.

    ::

        incoming/JOB/IMAGE -- close -- waiting/JOB/IMAGE -- segmented -- outgoing/UID.dcm -- sent -- sent/UID
                                                |                              |
                                                +------- failed/ --------------+

    Every step is one rename, so a killed process leaves each file in one place or the other. An image leaves
    ``waiting`` after its results are in ``outgoing``; if the process is killed in between, it is segmented again and
    gives the same objects with the same identifiers.

    Args:
        folder: folder of the queue; created if needed, readable by its owner only, because it holds patients' images.

    Raises:
        InputError: when another process uses the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        place = Path(folder)
        self._lock = locked(place)
        MarkedOutbox.__init__(self, place)
        Inbox.__init__(self, place)

    def release(self) -> None:
        """Let another process use the folder."""
        self._lock.release()


def sender_of(job: str) -> str:
    """Who sent a job; empty for one of an older version, which did not note it.

    Example:
        >>> sender_of("00000001766000000000-000001-SCANNER%201"), sender_of("00000001766000000000-000001")
        ('SCANNER 1', '')
    """
    return unquote("-".join(job.split("-")[2:]))


def trace_of(image: Path) -> str:
    """The identifier that follows an image from its receipt to the storage of its results: of its job and its file.

    Example:
        >>> trace_of(Path("waiting/1-0-A/f.dcm")) == trace_of(Path("incoming/1-0-A/f.dcm"))
        True
    """
    return sha256(f"{image.parent.name}/{image.name}".encode()).hexdigest()[:16]


def flush(folder: Path) -> None:
    """Flush the folder's entries to disk, if the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
