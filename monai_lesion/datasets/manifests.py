"""Manifests: lists of images and labels, checked before anything is trained.

A manifest is JSON that MONAI's Decathlon loader reads too: ``name``, ``description``, ``licence``, ``reference``,
``labels`` and the lists ``training``, ``validation`` and ``test`` with one entry per image. A fourth list,
``calibration``, is optional: nothing is trained or chosen on it, so that trust can be calibrated on unseen cases.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.datasets.entries import SPLITS, Entry, check_entries, label_files
from monai_lesion.datasets.file_checks import check_contents, check_files, check_frames, check_images_apart
from monai_lesion.errors import ManifestError
from monai_lesion.files import read_object, replacing
from monai_lesion.images.reading import image_size, read_masks

MANIFEST_BYTES = 256 << 20  # a million images


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
    reads every pixel of each label, and of each image whose size occurs in two splits. It warns of unlikely masks.

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
    root = Path(dataset_dir) if dataset_dir is not None else file.parent
    options: Any = {"splits": splits, "labels": labels, "progress": progress}
    return check_content(read_manifest(file), file, root, **options)


def check_content(
    content: Mapping[str, Any],
    file: Path,
    root: Path,
    *,
    splits: Sequence[str] = SPLITS,
    labels: bool = True,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Manifest:
    """Check the content of a manifest, written or not, with the files that it lists.

    Args:
        content: the JSON object; what :func:`read_manifest` checks is checked here too.
        file: where it stands, or will.
        root: the folder that its paths start from.
        splits: see :func:`load_manifest`.
        labels: see there.
        progress: see there.

    Raises:
        ManifestError: names the rule and the first ten entries that break it.
    """
    lists = _lists(content)
    check_entries(file, lists)
    if not root.is_dir():
        raise ManifestError(root, "must be the folder of the data", got="no folder", fix="Name it with --dataset_dir")
    used = [(split, entry) for split in splits for entry in lists.get(split, [])]
    check_files(file, root, used, labels=labels)
    check_frames(file, root, used)
    check_images_apart(file, root, lists, splits)
    if labels:
        check_contents(file, root, used, progress)
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
    check_entries(file, _lists(content))
    return {"name": file.stem, **content}


def _parse(file: Path) -> dict[str, Any]:
    if not os.path.lexists(file):
        raise ManifestError(file, "the manifest must exist", got="no file")
    rule = f"must be a JSON object with one of the lists {', '.join(SPLITS)}"
    content = read_object(file, rule, kind=ManifestError, most=MANIFEST_BYTES)
    if not any(split in content for split in SPLITS):
        raise ManifestError(file, rule, got=f"the keys {', '.join(content) or 'none'}")
    return content


def _lists(content: Mapping[str, Any]) -> dict[str, Any]:
    return {split: content[split] for split in SPLITS if split in content}


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
