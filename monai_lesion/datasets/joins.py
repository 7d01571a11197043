"""Join manifests, to train on several data sets and report on each by the column ``dataset``."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.datasets.entries import SPLITS, Entry, label_files, leaves_folder
from monai_lesion.datasets.file_checks import check_images_apart, check_pixels_apart
from monai_lesion.datasets.manifests import Manifest, load_manifest
from monai_lesion.errors import InputError

Content = dict[str, Any]


def join_manifests(contents: Sequence[Mapping[str, Any]], folders: Sequence[str] = ()) -> Content:
    """Join the contents of manifests, split by split.

    Each entry keeps its manifest's name in the column ``dataset``; its case and patient are named ``dataset/case``, so
    that case "0001" of two hospitals stays two cases. An entry that was joined before keeps its ``dataset``.

    Args:
        contents: JSON objects, as :func:`monai_lesion.datasets.manifests.read_manifest` returns them.
        folders: the subfolder that holds the data of each; empty leaves the paths as they are.

    Raises:
        InputError: for fewer than two manifests, equal names, labels that differ, or a wrong number of folders.

    Example:
        >>> first = {"name": "A", "test": [{"case_id": "1", "view": "l", "image": "1.png", "label": "m.png"}]}
        >>> join_manifests([first, {"name": "B", "test": []}], ["a", "b"])["test"]
        [{'case_id': 'A/1', 'view': 'l', 'image': 'a/1.png', 'label': 'a/m.png', 'dataset': 'A'}]
    """
    if len(contents) < 2:
        raise InputError("manifests", "must be at least two to join", got=len(contents))
    if folders and len(folders) != len(contents):
        raise InputError("folders", f"must be one for each of the {len(contents)} manifests", got=len(folders))
    names = [str(content.get("name", "")) for content in contents]
    alike = [name for number, name in enumerate(names) if not name or name in names[:number]]
    if alike:
        fix = 'Change "name" in one of the files'
        raise InputError("manifests", "must have different names", got=f"{', '.join(names)}", fix=fix)
    labels: dict[str, Any] = {}
    for content in contents:
        for key, value in content.get("labels", {}).items():
            if labels.setdefault(key, value) != value:
                raise InputError(
                    f'labels, "{key}"', "must mean the same in every manifest", got=f"{labels[key]} and {value}"
                )
    lists: dict[str, list[Entry]] = {}
    for number, content in enumerate(contents):
        folder = folders[number] if folders else ""
        for split in SPLITS:
            if split in content:
                joined = [_joined(entry, names[number], folder) for entry in content[split]]
                lists[split] = [*lists.get(split, []), *joined]
    about = {key: _together(key, names, contents) for key in ("description", "licence", "reference")}
    return {"name": " + ".join(names), **about, "labels": labels, **lists}


def _joined(entry: Entry, name: str, folder: str) -> Entry:
    dataset = str(entry.get("dataset", name))
    ids: Entry = {key: _prefixed(str(entry[key]), dataset) for key in ("case_id", "patient_id") if key in entry}
    paths: Entry = {"image": posixpath.join(folder, entry["image"])}
    files = [posixpath.join(folder, file) for file in label_files(entry)]
    if "label" in entry:
        paths["label"] = files[0] if isinstance(entry["label"], str) else files or entry["label"]
    return {**entry, **ids, **paths, "dataset": dataset}


def _prefixed(name: str, dataset: str) -> str:
    return name if name.startswith(f"{dataset}/") else f"{dataset}/{name}"


def _together(key: str, names: Sequence[str], contents: Sequence[Mapping[str, Any]]) -> str:
    texts = [str(content.get(key, "")) for content in contents]
    return "; ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True) if text)


def inside_folders(folders: Sequence[str]) -> Sequence[str]:
    """Check the subfolders that a manifest's paths shall start with.

    Raises:
        InputError: for a folder that is absolute, contains .. or a backslash.
    """
    for folder in folders:
        if leaves_folder(folder):
            raise InputError("folders", "must be relative paths inside the data folder, with /", got=folder)
    return folders


def load_joined(
    paths: Sequence[str | Path],
    dataset_dirs: Sequence[str | Path | None] | None = None,
    *,
    splits: Sequence[str] = ("training", "validation"),
    labels: bool = True,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Manifest:
    """Load, check and join several manifests; refuse an image that two of them have in different splits.

    Args:
        paths: the JSON files.
        dataset_dirs: data folder of each manifest; None for their own folders.
        splits: see :func:`monai_lesion.datasets.manifests.load_manifest`.
        labels: see there.
        progress: see there; called for each manifest.

    Raises:
        ManifestError: when a manifest breaks a rule, or none of them has a split in use.
        InputError: see :func:`join_manifests`.
    """
    if dataset_dirs is None:
        dataset_dirs = [None] * len(paths)
    if isinstance(dataset_dirs, (str, Path)) or len(dataset_dirs) != len(paths):
        got = dataset_dirs if isinstance(dataset_dirs, (str, Path)) else f"{len(dataset_dirs)} folders"
        fix = "For example --dataset_dir \"['/data/a','/data/b']\""
        raise InputError("dataset_dir", f"must list a folder for each of the {len(paths)} manifests", got=got, fix=fix)
    loaded = [
        load_manifest(path, folder, splits=splits, labels=labels, progress=progress)
        for path, folder in zip(paths, dataset_dirs, strict=True)
    ]
    contents = [
        {"name": one.name, "labels": one.labels, "description": one.description, "licence": one.licence}
        | {"reference": one.reference, **one.splits}
        for one in loaded
    ]
    root, folders = _common_folder([one.dataset_dir for one in loaded])
    content = join_manifests(contents, folders)
    file = Path(" + ".join(str(one.path) for one in loaded))
    lists = {split: content[split] for split in SPLITS if split in content}
    check_images_apart(file, root, lists, splits)
    if labels:  # each manifest has been checked by itself
        check_pixels_apart(file, root, [(split, entry) for split in splits for entry in lists.get(split, [])])
    about = {key: content[key] for key in ("description", "licence", "reference", "labels")}
    return Manifest(content["name"], file, root, lists, **about)


def _common_folder(folders: Sequence[Path]) -> tuple[Path, list[str]]:
    """The folder that holds all of them, and their places in it; on two drives, the first and whole paths."""
    try:
        root = Path(os.path.commonpath(folders))
    except ValueError:
        return folders[0], [folder.as_posix() for folder in folders]
    return root, ["" if folder == root else folder.relative_to(root).as_posix() for folder in folders]


def repeated(entries: Sequence[Entry], repeats: Mapping[str, int] | None = None) -> list[Entry]:
    """List the entries of some data sets several times, so that a training sees a small one as often as a large one.

    Args:
        entries: each with the column ``dataset``, which :func:`join_manifests` writes.
        repeats: how often each data set stands in the list; once unless named.

    Raises:
        InputError: for a data set that no entry has, and a number that is not a positive integer.

    Example:
        >>> repeated([{"dataset": "A"}, {"dataset": "B"}], {"B": 2})
        [{'dataset': 'A'}, {'dataset': 'B'}, {'dataset': 'B'}]
    """
    present = {entry.get("dataset") for entry in entries}
    for name, times in (repeats or {}).items():
        if name not in present:
            got = f"{name!r} beside {', '.join(sorted(map(str, present)))}"
            raise InputError("--repeats", "must name data sets of the joined manifest", got=got)
        if not isinstance(times, int) or times < 1:
            raise InputError(f"--repeats, {name!r}", "must be a positive integer", got=repr(times))
    return [entry for entry in entries for _ in range((repeats or {}).get(entry.get("dataset", ""), 1))]
