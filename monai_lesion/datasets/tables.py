"""CSV files: their rows, and what they add to the entries of a manifest."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from monai_lesion.datasets.entries import Entry
from monai_lesion.datasets.mask_names import stem_of
from monai_lesion.errors import InputError

_TRUE, _FALSE = ("true", "yes", "1", "x"), ("false", "no", "0")


def table_rows(file: Path, columns: Sequence[str], fix: str = "") -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file.

    Args:
        file: CSV file in UTF-8 that starts with a line of column names; commas, semicolons or tabs part the values.
        columns: columns it must have.
        fix: advice for the error message.

    Raises:
        InputError: when the file does not exist, lacks a column, or has a line with too few or too many values.
    """
    if not file.is_file():
        raise InputError(file, "must be a CSV file", got="no file", fix=fix)
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            head = handle.readline()
            handle.seek(0)
            reader = csv.DictReader(handle, delimiter=max(",;\t", key=head.count))
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                found = ", ".join(reader.fieldnames or []) or "none"
                raise InputError(file, f"must have the column {missing[0]}", got=found, fix=fix)
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(file, "each line must have as many values as there are columns", got=row)
                yield {name: text.strip() for name, text in row.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(file, "must be a CSV file in UTF-8", got=error) from error


def with_columns(entries: Sequence[Entry], file: Path, key: str) -> list[Entry]:
    """Add the columns of a table to the entries that its rows belong to.

    ``empty``, ``frame`` and ``spacing`` become what a manifest wants; a blank value adds nothing. What an entry has
    already stays.

    Args:
        entries: the entries.
        file: CSV file.
        key: column whose values are those of the entries; or, where the entries have no such column, the names of the
            images: their paths, their file names, or these without ending.

    Raises:
        InputError: when the table has no row for an entry, two that differ, or a value that a manifest does not take.
    """
    rows: dict[str, dict[str, str]] = {}
    for row in table_rows(file, [key], fix="--key names the column that tells the case, the patient or the file"):
        if rows.setdefault(row[key], row) != row:
            raise InputError(file, f"must have one row for each {key}", got=f"two that differ for {row[key]}")
    joined = []
    for entry in entries:
        name = next((name for name in _names(entry, key) if name in rows), None)
        if name is None:
            raise InputError(file, f"must have a row for each {key}", got=f"none for {_names(entry, key)[0]}")
        told = {column: text.strip() for column, text in rows[name].items() if column not in entry}
        values = {column: _value(file, name, column, text) for column, text in told.items() if text}
        joined.append({**entry, **values})
    return joined


def _names(entry: Mapping[str, Any], key: str) -> list[str]:
    if key in entry and key != "image":
        return [str(entry[key])]
    path = PurePosixPath(entry["image"])
    return [str(path), path.name, stem_of(path.name)]


def _value(file: Path, name: str, column: str, text: str) -> Any:
    reads: dict[str, tuple[Callable[[str], Any], str]] = {
        "empty": (_truth, "true or false"),
        "frame": (int, "a whole number from 0"),
        "spacing": (_steps, "the steps of rows and columns in mm, such as 0.1 or 0.1 x 0.12"),
    }
    if column not in reads:
        return text
    read, rule = reads[column]
    try:
        return read(text)
    except ValueError as error:
        raise InputError(file, f"{column} must be {rule}", got=f"{text} for {name}") from error


def _truth(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError
    return text.lower() in _TRUE


def _steps(text: str) -> list[float]:
    """One number, or two: ``0.1``, ``0.1 x 0.12``, ``[0.1, 0.12]``, or with a backslash as DICOM has it."""
    steps = [float(part) for part in re.split(r"[\s,;x\\]+", text.strip("[]() "))]
    if len(steps) not in (1, 2):
        raise ValueError
    return steps * (3 - len(steps))
