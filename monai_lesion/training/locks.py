"""One training at a time in a folder."""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock, Timeout

from monai_lesion.errors import InputError

logger = logging.getLogger(__name__)

NAME = ".training.lock"
WAIT = 8.0  # seconds: loader processes of a training that was killed live on for five
_held: dict[Path, FileLock] = {}


def claim(folder: str | Path, *, wait: float = WAIT) -> None:
    """Claim a folder for the trainings of this process, until :func:`release` or its end, however it ends.

    Args:
        folder: created if needed.
        wait: seconds to wait for another process.

    Raises:
        InputError: when another process trains into it.
    """
    place = Path(folder).resolve()
    if place in _held:
        return
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / NAME, timeout=wait)
    try:
        lock.acquire()
    except Timeout as error:
        fix = "Wait for it, or name another --ckpt_dir"
        raise InputError(folder, "must have one training at a time", got="a training that runs", fix=fix) from error
    except (NotImplementedError, OSError) as error:  # some network disks know no locks
        logger.warning("%s cannot be locked (%s): start no second training in it", folder, type(error).__name__)
        return
    _held[place] = lock


def release(folder: str | Path) -> None:
    """Let others train into a folder."""
    lock = _held.pop(Path(folder).resolve(), None)
    if lock is not None:
        lock.release(force=True)
        Path(lock.lock_file).unlink(missing_ok=True)
