"""The entries of a manifest and the rules that they follow by themselves, whatever their files hold."""

from __future__ import annotations

import json
import math
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.errors import SHOWN, ManifestError, printable

SPLITS = ("training", "validation", "test", "calibration")
LONGEST = 80  # characters of a value in a message
REQUIRED = ("case_id", "view", "image", "label")

Entry = dict[str, Any]


def label_files(entry: Mapping[str, Any]) -> list[str]:
    """List the mask files of an entry, whose union is the reference; empty for a picture without a lesion.

    Example:
        >>> label_files({"label": "a.png"}), label_files({"label": ["a.png", "b.png"]}), label_files({"empty": True})
        (['a.png'], ['a.png', 'b.png'], [])
    """
    label = entry.get("label")
    return list(label) if isinstance(label, list) else [label] if label else []


def check_entries(file: Path, lists: Mapping[str, Any]) -> None:
    """Check the schema of the lists of a manifest, that their patients are apart, and that no image is listed twice.

    Args:
        file: the manifest, for the error message.
        lists: the entries of each split.

    Raises:
        ManifestError: names the rule and the first ten entries that break it.
    """
    _check_schema(file, lists)
    _check_separation(file, lists)
    _check_once(file, lists)


def refuse(file: Path, rule: str, faults: Sequence[str], fix: str = "") -> None:
    """Raise an error when there are faults.

    Args:
        file: the manifest.
        rule: what they break.
        faults: a line for each entry at fault.
        fix: how to correct it.

    Raises:
        ManifestError: with the first ten, and how many more.
    """
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        listed = "".join(f"\n  {printable(fault)}" for fault in faults[:SHOWN]) + more
        raise ManifestError(file, f"{rule}, got {len(faults)} that break this rule:{listed}\n{fix}".rstrip())


def _check_schema(file: Path, lists: Mapping[str, Any]) -> None:
    faults = []
    for split, entries in lists.items():
        if not isinstance(entries, list):
            raise ManifestError(file, f'"{split}" must be a list of entries', got=type(entries).__name__)
        for number, entry in enumerate(entries):
            where = f"{split}[{number}]"
            if not isinstance(entry, dict):
                faults.append(f"{where}: {type(entry).__name__} instead of an object")
                continue
            faults += [f"{where}: {fault}" for fault in _entry_faults(entry)]
    rule = f"each entry must have {', '.join(REQUIRED)} as text, the paths relative to the data folder and with /"
    refuse(file, rule, faults, "Correct the entries; `monai-lesion manifest create` writes valid ones.")


def _shown(value: Any) -> str:
    """A value for a message, cut off where it is long."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _entry_faults(entry: Entry) -> Iterator[str]:
    for key in (*REQUIRED, "patient_id") if "patient_id" in entry else REQUIRED:
        value = entry.get(key)
        if key == "label" and not value and entry.get("empty") is True:
            continue
        values = value if key == "label" and isinstance(value, list) and value else [value]
        for text in values:
            if not isinstance(text, str) or not text:
                yield f"{key} is {_shown(value)}, not text" + (" or a list of it" if key == "label" else "")
            elif key in ("image", "label") and leaves_folder(text):
                yield f"{key} {text} is not a path inside the data folder"
    if not isinstance(entry.get("empty", False), bool):
        yield f"empty is {_shown(entry['empty'])}, neither true nor false"
    frame = entry.get("frame")
    if frame is not None and (type(frame) is not int or frame < 0):
        yield f"frame is {_shown(frame)}, not an index from 0"
    spacing = entry.get("spacing")
    if spacing is not None and not (
        isinstance(spacing, list)
        and len(spacing) == 2
        and all(type(step) in (int, float) and 0 < step < math.inf for step in spacing)
    ):
        yield f"spacing is {_shown(spacing)}, not the two steps of rows and columns in mm"


def leaves_folder(path: str) -> bool:
    """Whether a path is absolute, contains .., or has backslashes, which only Windows reads as separators."""
    return path.startswith("/") or path[1:2] == ":" or "\\" in path or ".." in path.split("/")


def _check_once(file: Path, lists: Mapping[str, Sequence[Entry]]) -> None:
    """Refuse an image that is listed twice; different frames or regions of a file are different images."""
    seen: dict[tuple[str, str, str], str] = {}
    faults = []
    for split, entries in lists.items():
        for number, entry in enumerate(entries):
            where = f"{split}[{number}]"
            image = posixpath.normpath(entry["image"]), str(entry.get("frame") or 0), str(entry.get("region"))
            first = seen.setdefault(image, where)
            if first != where:
                faults.append(f"{where}: {entry['image']} is already {first}")
    refuse(file, "no image may be listed twice", faults, "Keep one entry of each image.")


def _check_separation(file: Path, lists: Mapping[str, Sequence[Entry]]) -> None:
    for column in ("case_id", "patient_id"):
        seen: dict[str, set[str]] = defaultdict(set)
        for split, entries in lists.items():
            for entry in entries:
                seen[str(entry.get(column, entry["case_id"]))].add(split)
        faults = [f"{column} {value}: {', '.join(sorted(found))}" for value, found in seen.items() if len(found) > 1]
        rule = f"no {column.removesuffix('_id')} may be in two splits"
        refuse(file, rule, faults, "Keep all images of a patient in one split; `monai-lesion manifest create` does.")
