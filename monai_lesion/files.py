"""Files and folders that appear whole or not at all, and what identifies a file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write beside a file, then rename; what fails half-way leaves nothing behind.

    Args:
        path: the file; its folder is made when absent.

    Yields:
        Where to write: a hidden name in the same folder, with the same ending.

    Raises:
        OSError: when the file cannot be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):  # a full disk names none
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside its place, then rename; what fails half-way leaves nothing behind.

    Args:
        path: the folder, absent or empty.

    Yields:
        An empty folder to fill, with a hidden name in the same place.

    Raises:
        OSError: when it cannot be made, or ``path`` holds something by then.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if path.is_dir():
            path.rmdir()
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
