"""Manifests: lists of images and labels, checked before anything is trained.

A manifest is JSON that MONAI's Decathlon loader reads too: ``name``, ``description``, ``licence``, ``reference``,
``labels`` and the lists ``training``, ``validation`` and ``test`` with one entry per image. A fourth list,
``calibration``, is optional: nothing is trained or chosen on it, so that trust can be calibrated on unseen cases.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError, ManifestError
from monai_lesion.files import replacing
from monai_lesion.images.reading import image_size, read_mask, read_masks
from monai_lesion.measures.masks import fits

SPLITS = ("training", "validation", "test", "calibration")
REQUIRED = ("case_id", "view", "image", "label")
SHOWN = 10  # entries an error lists

Entry = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """A list of images and labels, with the folder that its paths start from; :func:`load_manifest` checks it."""

    name: str
    path: Path
    dataset_dir: Path
    splits: Mapping[str, Sequence[Entry]]
    description: str = ""
    licence: str = ""
    reference: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def entries(self, split: str, *, shared: bool = False) -> list[Entry]:
        """List the entries of a split, with absolute paths in ``image`` and ``label``, and with ``patient_id``.

        A label of several files stays a list. A picture without a lesion and without a mask file has the label ``[]``.

        Args:
            split: ``"training"``, ``"validation"``, ``"test"`` or ``"calibration"``.
            shared: drop columns that some entries lack, because a loader puts every column into batches.

        Raises:
            ManifestError: when the split is missing or empty.
        """
        if not self.splits.get(split):
            found = ", ".join(f"{name} ({len(items)})" for name, items in self.splits.items() if items) or "none"
            raise ManifestError(self.path, f'the split "{split}" must hold images', got=f"the splits {found}")
        entries = [{"patient_id": entry["case_id"], **self._absolute(entry)} for entry in self.splits[split]]
        if shared:
            common = set.intersection(*map(set, entries))
            return [{key: value for key, value in entry.items() if key in common} for entry in entries]
        return entries

    def _absolute(self, entry: Entry) -> Entry:
        files = [str(self.dataset_dir / file) for file in label_files(entry)]
        label = files[0] if files and isinstance(entry["label"], str) else files
        return {**entry, "image": str(self.dataset_dir / entry["image"]), "label": label}


def label_files(entry: Mapping[str, Any]) -> list[str]:
    """List the mask files of an entry, whose union is the reference; empty for a picture without a lesion.

    Example:
        >>> label_files({"label": "a.png"}), label_files({"label": ["a.png", "b.png"]}), label_files({"empty": True})
        (['a.png'], ['a.png', 'b.png'], [])
    """
    label = entry.get("label")
    return list(label) if isinstance(label, list) else [label] if label else []


def read_label(entry: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Read the reference mask ``(H, W)`` of an entry with absolute paths: the union of its files, which may be empty.

    Raises:
        ImageError: when a file cannot be read, or two differ in size.
    """
    files = label_files(entry)
    return read_masks(files) if files else np.zeros(image_size(entry["image"]), bool)


def load_manifest(
    path: str | Path,
    dataset_dir: str | Path | None = None,
    *,
    splits: Sequence[str] = ("training", "validation"),
    labels: bool = True,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Manifest:
    """Load a manifest and check it.

    The whole manifest is checked for its schema, for cases or patients in two splits, and for images listed twice.
    Files are checked only in the splits in use, so that you can train while the test files are elsewhere. The check
    reads the header of each image and every pixel of each label.

    Args:
        path: the JSON file.
        dataset_dir: folder that the paths start from; None for the manifest's own folder.
        splits: the splits you will use.
        labels: whether you will use labels, so that they are checked.
        progress: wraps the list of entries to open, for a progress bar.

    Raises:
        ManifestError: names the rule and the first ten entries that break it.
    """
    file = Path(path)
    content = read_manifest(file)
    root = Path(dataset_dir) if dataset_dir is not None else file.parent
    if not root.is_dir():
        raise ManifestError(root, "must be the folder of the data", got="no folder", fix="Name it with --dataset_dir")
    lists = {split: content[split] for split in SPLITS if split in content}
    used = [(split, entry) for split in splits for entry in lists.get(split, [])]
    _check_files(file, root, used, labels=labels)
    check_images_apart(file, root, lists, splits)
    if labels:
        _check_labels(file, root, progress(used))
    texts = {key: str(content.get(key, "")) for key in ("description", "licence", "reference")}
    return Manifest(str(content["name"]), file, root.absolute(), lists, labels=content.get("labels", {}), **texts)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read a manifest and check its schema and the separation of its cases, without opening any image.

    Args:
        path: the JSON file.

    Raises:
        ManifestError: names the rule and the first ten entries that break it.
    """
    file = Path(path)
    content = _parse(file)
    lists = {split: content[split] for split in SPLITS if split in content}
    _check_schema(file, lists)
    _check_separation(file, lists)
    _check_once(file, lists)
    return {"name": file.stem, **content}


def _parse(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(file, "the manifest must exist", got="no file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(file, "must be a readable JSON file", got=str(error)) from error
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise ManifestError(file, "must be valid JSON", got=where) from error
    if not isinstance(content, dict) or not any(split in content for split in SPLITS):
        kind = f"the keys {', '.join(content) or 'none'}" if isinstance(content, dict) else type(content).__name__
        raise ManifestError(file, f"must be a JSON object with one of the lists {', '.join(SPLITS)}", got=kind)
    return content


def _refuse(file: Path, rule: str, faults: Sequence[str], fix: str = "") -> None:
    """Raise an error when there are faults: with the first ten, and how many more."""
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:SHOWN]) + more
        raise ManifestError(file, rule, got=f"{len(faults)} that break this rule:{listed}\n{fix}".rstrip())


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
    _refuse(file, rule, faults, "Correct the entries; `monai-lesion manifest create` writes valid ones.")


def _entry_faults(entry: Entry) -> Iterator[str]:
    for key in (*REQUIRED, "patient_id") if "patient_id" in entry else REQUIRED:
        value = entry.get(key)
        if key == "label" and not value and entry.get("empty") is True:
            continue
        values = value if key == "label" and isinstance(value, list) and value else [value]
        for text in values:
            if not isinstance(text, str) or not text:
                yield f"{key} is {json.dumps(value)}, not text" + (" or a list of it" if key == "label" else "")
            elif key in ("image", "label") and leaves_folder(text):
                yield f"{key} {text} is not a path inside the data folder"
    if not isinstance(entry.get("empty", False), bool):
        yield f"empty is {json.dumps(entry['empty'])}, neither true nor false"
    frame = entry.get("frame")
    if frame is not None and (type(frame) is not int or frame < 0):
        yield f"frame is {json.dumps(frame)}, not an index from 0"
    spacing = entry.get("spacing")
    if spacing is not None and not (
        isinstance(spacing, list)
        and len(spacing) == 2
        and all(type(step) in (int, float) and step > 0 for step in spacing)
    ):
        yield f"spacing is {json.dumps(spacing)}, not the two steps of rows and columns in mm"


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
            image = posixpath.normpath(entry["image"]), str(entry.get("frame")), str(entry.get("region"))
            first = seen.setdefault(image, where)
            if first != where:
                faults.append(f"{where}: {entry['image']} is already {first}")
    _refuse(file, "no image may be listed twice", faults, "Keep one entry of each image.")


def _check_separation(file: Path, lists: Mapping[str, Sequence[Entry]]) -> None:
    for column in ("case_id", "patient_id"):
        seen: dict[str, set[str]] = defaultdict(set)
        for split, entries in lists.items():
            for entry in entries:
                seen[str(entry.get(column, entry["case_id"]))].add(split)
        faults = [f"{column} {value}: {', '.join(sorted(found))}" for value, found in seen.items() if len(found) > 1]
        rule = f"no {column.removesuffix('_id')} may be in two splits"
        _refuse(file, rule, faults, "Keep all images of a patient in one split; `monai-lesion manifest create` does.")


def _check_files(file: Path, root: Path, used: Sequence[tuple[str, Entry]], *, labels: bool) -> None:
    absent, outside = [], []
    inside = os.path.join(os.path.realpath(root), "")
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    for split, entry in used:
        for name in [entry["image"], *(label_files(entry) if labels else ())]:
            path = os.path.join(root, name)
            folder, last = os.path.split(path)
            if not os.path.isfile(path):
                absent.append(f"{split}, case {entry['case_id']}: {path}")
                continue
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), last)
            if not real.startswith(inside):
                outside.append(f"{split}, case {entry['case_id']}: {path} -> {real}")
    _refuse(file, "each file must be present", absent, "Name the folder of the data with --dataset_dir.")
    _refuse(file, "each file must be inside the data folder", outside, "Copy the files instead of linking to them.")


def check_images_apart(
    file: Path, root: Path, lists: Mapping[str, Sequence[Entry]], splits: Sequence[str] = SPLITS
) -> None:
    """Refuse the same image in two splits; only files of equal size in two splits are hashed.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        lists: the entries of each split.
        splits: the splits whose files must all exist; in the others, missing files are ignored.

    Raises:
        ManifestError: names the images.
    """
    used = [(split, entry) for split in splits for entry in lists.get(split, [])]
    others = [(split, entry) for split in lists if split not in splits for entry in lists[split]]
    used += [pair for pair in others if os.path.isfile(os.path.join(root, pair[1]["image"]))]
    sizes: dict[int, list[int]] = defaultdict(list)
    for number, (_, entry) in enumerate(used):
        sizes[os.stat(os.path.join(root, entry["image"])).st_size].append(number)
    faults = []
    for numbers in sizes.values():
        if len({used[number][0] for number in numbers}) < 2:
            continue
        digests: dict[bytes, list[int]] = defaultdict(list)
        for number in numbers:
            with open(os.path.join(root, used[number][1]["image"]), "rb") as image:
                digests[hashlib.blake2b(image.read(), digest_size=16).digest()].append(number)
        for same in digests.values():
            first = {used[number][0]: used[number][1]["image"] for number in reversed(same)}  # of each split
            if len(first) > 1:
                more = f" and {len(same) - len(first)} more" if len(same) > len(first) else ""
                faults.append(" = ".join(f"{name} ({split})" for split, name in reversed(first.items())) + more)
    _refuse(file, "no image may be in two splits", faults, "Keep one of them and split again by patient.")


def _check_labels(file: Path, root: Path, used: Iterable[tuple[str, Entry]]) -> None:
    damaged, sizes, empty, drawn = [], [], [], []
    for split, entry in used:
        where = f"{split}, case {entry['case_id']}: "
        try:
            image = image_size(os.path.join(root, entry["image"]), whole=True)
            masks = {name: read_mask(os.path.join(root, name)) for name in label_files(entry)}
        except ImageError as error:
            damaged.append(f"{where}{error}")
            continue
        declared = entry.get("empty", False)
        for name, mask in masks.items():
            if not fits(mask.shape, image):
                sizes.append(f"{where}{name} is {mask.shape}, {entry['image']} is {image}")
            elif not declared and not mask.any():
                empty.append(f"{where}{name}")
            elif declared and mask.any():
                drawn.append(f"{where}{name}")
    _refuse(file, "each file must be readable", damaged, "Replace the files or drop the entries.")
    _refuse(file, "a label must have the rows and columns of its image", sizes, "Export the labels at full size.")
    _refuse(file, "a label must not be empty", empty, 'Draw the lesion, or declare "empty": true in the entry.')
    fix = 'Take "empty" out of the entry, or drop the mask.'
    _refuse(file, 'a label must be empty where the entry says "empty": true', drawn, fix)


def write_manifest(content: Mapping[str, Any], path: str | Path) -> Path:
    """Write a manifest, one entry per line; the file appears whole or not at all.

    Args:
        content: the JSON object, with some of the lists in :data:`SPLITS`.
        path: the JSON file; its folder is created if needed.
    """
    file = Path(path)
    text = "".join(_lines(content))
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")
    return file


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    yield "{\n"
    for number, (key, value) in enumerate(content.items()):
        end = ",\n" if number < len(content) - 1 else "\n"
        if key in SPLITS and value:
            rows = ",\n".join("    " + json.dumps(entry, ensure_ascii=False) for entry in value)
            yield f"  {json.dumps(key)}: [\n{rows}\n  ]{end}"
        else:
            yield f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}{end}"
    yield "}\n"
