"""What a process that runs for long says, with time and level; and what others must not say for it."""

from __future__ import annotations

import logging
import sys
import warnings
from logging.handlers import RotatingFileHandler
from pathlib import Path

from monai_lesion.errors import InputError

LEVELS = ("debug", "info", "warning", "error")
# pydicom and pynetdicom quote values of a header, patients' names among them; urllib3 quotes each address.
OTHERS = {"pydicom.pixels": logging.CRITICAL, "pynetdicom": logging.CRITICAL, "urllib3": logging.ERROR}
FILE_BYTES, FILES = 10 << 20, 5


def quieten() -> None:
    """Silence libraries that quote patients' values, unless their level was chosen; ours says what matters itself."""
    for name, level in OTHERS.items():
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(level)
    logging.getLogger("pydicom").addFilter(_only_critical)  # pydicom sets the level of its own when it is imported
    warnings.filterwarnings("ignore", module="pydicom")


def _only_critical(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL


def start_logging(level: str = "info", file: Path | None = None, *, formatter: logging.Formatter | None = None) -> None:
    """Log lines with time and level to standard error, and to a file that is rotated at 10 MB, five kept.

    Args:
        level: least level to log, see ``LEVELS``.
        file: the file; None for standard error only.
        formatter: what makes the lines; None for lines of plain text.

    Raises:
        InputError: when the level has another name or the file cannot be written.
    """
    if level.lower() not in LEVELS:
        raise InputError("--log-level", f"must be one of {', '.join(LEVELS)}", got=level)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"))
        except OSError as error:
            raise InputError("--log-file", "must be a file that can be written", got=error.strerror) from error
    formatted = formatter or logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    for handler in handlers:
        handler.setFormatter(formatted)
    logging.basicConfig(level=logging.getLevelName(level.upper()), handlers=handlers, force=True)
    quieten()
