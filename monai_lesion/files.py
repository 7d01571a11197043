"""Files that appear whole or not at all."""

from __future__ import annotations

import os
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
