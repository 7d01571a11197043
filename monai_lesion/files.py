"""Files and folders that appear whole or not at all, what identifies a file, and JSON that is what it should be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError

JSON_BYTES = 16 << 20  # of a file that is read as one piece


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


def read_object(path: Path, rule: str = "must be a JSON object") -> dict[str, Any]:
    """The object of a JSON file.

    Args:
        path: the file.
        rule: what it must be, for the error.

    Raises:
        InputError: when it is missing, too large, not UTF-8, not JSON, nested too deeply, holds NaN or Infinity, or is
            no object.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"the number {name}")

    if not path.is_file():  # a pipe would be waited for
        raise InputError(path, rule, got="no file")
    try:
        if path.stat().st_size > JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError:
        raise InputError(path, rule, got="one nested too deeply") from None
    except OSError as error:
        raise InputError(path, rule, got=error.strerror or error) from error
    except ValueError as error:
        raise InputError(path, rule, got=error) from error
    if not isinstance(content, dict):
        raise InputError(path, rule, got=type(content).__name__)
    return content
