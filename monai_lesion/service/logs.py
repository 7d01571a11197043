"""Lines of JSON, each with the trace of the image that it is about, and without patients' data."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path

from monai_lesion.pacs.logs import start_logging

TRACE: ContextVar[str] = ContextVar("trace", default="")
KEYS = ("event", "trace", "sender", "model", "route", "destination", "decision", "trust", "frame", "uid", "seconds")


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, message, and of ``KEYS`` those that the line brings in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a line."""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        brought = {key: getattr(record, key) for key in KEYS if hasattr(record, key)}
        if not brought.get("trace") and TRACE.get():
            brought["trace"] = TRACE.get()
        if record.exc_info and record.exc_info[0] is not None:  # its text may quote the patient
            brought["error"] = record.exc_info[0].__name__
        return json.dumps({**line, **brought}, ensure_ascii=True)


def start_json_logging(level: str, file: Path | None) -> None:
    """Log as JSON to standard error, and to a file that is rotated; see :func:`monai_lesion.pacs.logs.start_logging`.

    Raises:
        InputError: when the file cannot be written.
    """
    start_logging(level, file, formatter=JsonFormatter())
