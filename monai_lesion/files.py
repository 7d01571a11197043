"""Files and folders that appear whole or not at all, what identifies a file, and JSON that is what it should be."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError

JSON_BYTES = 16 << 20  # of a file that is read as one piece
JSON_DEPTH = 64  # objects and lists in one another
_HOST = re.sub(r"[^a-z0-9]", "", platform.node().lower())[:16] or "host"
_PARTIAL = re.compile(r"\.partial-(\d+)-(?:(\w+)\+)?.+")
_swept: set[Path] = set()


def partial_prefix() -> str:
    """How the name begins of what this process has not finished; :func:`sweep` removes what the dead left."""
    return f".partial-{os.getpid()}-{_HOST}+"


def sweep(folder: Path) -> None:
    """Remove what processes of this machine left half-written in a folder and then died; once per process and folder.

    A folder shared by several machines keeps what another machine writes.
    """
    place = folder.absolute()
    if place in _swept or not folder.is_dir():
        return
    _swept.add(place)
    for entry in os.scandir(folder):
        found = _PARTIAL.fullmatch(entry.name)
        if found is None or found[2] not in (None, _HOST) or _lives(int(found[1])):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if os.name != "posix":  # there, signal 0 ends a process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


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
    sweep(path.parent)
    partial = _beside(path)
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):  # a full disk names none
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A hidden name in the same folder with the same ending; short, for names end at 255 bytes."""
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()
    ending = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
    return path.with_name(f"{partial_prefix()}{digest}{ending if len(ending) < 20 else ''}")


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
    sweep(path.parent)
    partial = _beside(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        if path.is_dir():
            path.rmdir()
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def true_place(path: str | os.PathLike[str]) -> Path:
    """Where a path leads when its links are followed, as far as they can be: ``Path.resolve`` fails where one loops."""
    return Path(os.path.realpath(path))


def no_file(path: Path) -> str | None:
    """Say what a path is that is not a regular file; None for one. A pipe would be waited for, a device never ends.

    Example:
        >>> no_file(Path(__file__).parent), no_file(Path("no/such/file"))
        ('a folder', 'no such file')
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except (OSError, ValueError) as error:  # no permission, a link to itself, a name that no file can have
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_object(
    path: Path,
    rule: str = "must be a JSON object",
    *,
    kind: type[InputError] = InputError,
    most: int = JSON_BYTES,
    got: str = "",
) -> dict[str, Any]:
    """The object of a JSON file.

    Args:
        path: the file.
        rule: what it must be, for the error.
        kind: class of the error.
        most: largest size in bytes.
        got: said of content that is wrong, in place of what is wrong with it, where the file holds secrets.

    Raises:
        InputError: when it is missing, no regular file, too large, not UTF-8, not JSON, nested too deeply, holds a
            number that is not finite or longer than any that we write, or is no object.
    """
    if (found := no_file(path)) is not None:
        raise kind(path, rule, got=found)
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise ValueError(f"more than {most} bytes")
        content = parse_json(text)
    except OSError as error:
        raise kind(path, rule, got=error.strerror or error) from error
    except ValueError as error:
        if got:
            raise kind(path, rule, got=got) from None  # the decoder's error holds the whole text
        raise kind(path, rule, got=error) from error
    if not isinstance(content, dict):
        raise kind(path, rule, got=got or type(content).__name__)
    return content


def parse_json(text: bytes) -> Any:
    """Parse JSON as RFC 8259 has it, which Python's own parser widens: UTF-8, numbers that are finite, bounded depth.

    Raises:
        ValueError: says what is wrong.

    Example:
        >>> parse_json(b'{"spacing": 1e999}')
        Traceback (most recent call last):
        ValueError: the number 1e999, which is not finite
    """
    deep = f"more than {JSON_DEPTH} objects or lists in one another"
    try:
        content = json.loads(text.decode("utf-8-sig"), parse_constant=_real, parse_float=_real, parse_int=_whole)
    except RecursionError:
        raise ValueError(deep) from None
    level = [content]
    for _ in range(JSON_DEPTH + 1):
        level = [part for each in level if isinstance(each, (dict, list)) for part in _parts(each)]
    if level:
        raise ValueError(deep)
    return content


def _parts(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]}, which is not finite")
    return number


def _whole(text: str) -> int:
    if len(text) > 20:  # a float and a 64-bit number hold these
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
