"""What is kept between runs: quantised models and the choice of a runtime. The folder may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, replacing, replacing_folder

logger = logging.getLogger(__name__)
HASHES = "sha256.json"


def cache_dir() -> Path:
    """``$MONAI_LESION_CACHE`` or ``~/.cache/monai_lesion``, then ``runtimes``."""
    root = Path(os.environ.get("MONAI_LESION_CACHE") or "~/.cache/monai_lesion")
    return root.expanduser().absolute() / "runtimes"


def key_of(facts: Mapping[str, Any]) -> str:
    """A short name for a set of facts, another for any other set.

    Example:
        >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def kept_folder(facts: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` fills once for the same facts; a damaged one is made again.

    Args:
        facts: everything that its content depends on.
        make: fills the empty folder that it is given.

    Raises:
        InputError: when the cache cannot be written.
    """
    folder = cache_dir() / key_of(facts)
    if folder.is_dir():
        if _whole(folder):
            return folder
        logger.warning("%s was damaged and is made again", folder)
        shutil.rmtree(folder)
    try:
        with replacing_folder(folder) as partial:
            make(partial)
            hashes = {file.name: file_sha256(file) for file in sorted(partial.iterdir()) if file.is_file()}
            (partial / HASHES).write_text(json.dumps(hashes), encoding="utf-8")
    except OSError as error:
        if not _whole(folder):  # else another process was faster
            raise _unwritable(error) from error
    return folder


def kept(facts: Mapping[str, Any]) -> Path | None:
    """The folder that :func:`kept_folder` filled for the same facts; None when there is none, or a damaged one."""
    folder = cache_dir() / key_of(facts)
    return folder if _whole(folder) else None


def _whole(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / HASHES).read_text(encoding="utf-8"))
        return all(file_sha256(folder / name) == expected for name, expected in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def read_kept(facts: Mapping[str, Any]) -> Any:
    """What :func:`keep` wrote for the same facts; None when there is nothing, or nothing readable."""
    try:
        content = json.loads(_file(facts).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("kept") if isinstance(content, dict) else None


def keep(facts: Mapping[str, Any], value: Any) -> Path:
    """Write a value for the next run; the file shows the facts beside it, for who looks.

    Raises:
        InputError: when the cache cannot be written.
    """
    file = _file(facts)
    try:
        with replacing(file) as partial:
            content = {"facts": dict(facts), "kept": value}
            partial.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(error) from error
    return file


def _file(facts: Mapping[str, Any]) -> Path:
    return cache_dir() / f"{key_of(facts)}.json"


def _unwritable(error: OSError) -> InputError:
    fix = "Set the environment variable MONAI_LESION_CACHE to a folder that you may write"
    return InputError(cache_dir(), "must be a folder that can be written", got=error, fix=fix)
