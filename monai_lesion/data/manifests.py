"""Manifests: data lists of two-view cases, checked before anything is trained.

A manifest is JSON that MONAI's Decathlon loader reads too: ``name``, ``description``, ``licence``, ``reference``,
``labels`` and the lists ``training``, ``validation`` and ``test`` with one entry per image.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_lesion.data.readers import image_size, read_mask
from monai_lesion.errors import ImageError, InputError, ManifestError

SPLITS = ("training", "validation", "test")
REQUIRED = ("case_id", "view", "image", "label")
SHOWN = 10  # entries an error lists

Entry = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """A data list and the folder that its paths start from; :func:`load_manifest` makes checked ones."""

    name: str
    path: Path
    dataset_dir: Path
    splits: Mapping[str, Sequence[Entry]]
    description: str = ""
    licence: str = ""
    reference: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def entries(self, split: str) -> list[Entry]:
        """The entries of a split, ``image`` and ``label`` as absolute paths and ``patient_id`` filled in.

        Raises:
            ManifestError: when there is no such split, or it is empty.
        """
        if not self.splits.get(split):
            found = ", ".join(f"{name} ({len(items)})" for name, items in self.splits.items() if items) or "none"
            raise ManifestError(self.path, f'the split "{split}" must hold images', got=f"the splits {found}")
        return [
            {
                "patient_id": entry["case_id"],
                **entry,
                **{key: str(self.dataset_dir / entry[key]) for key in _paths(entry)},
            }
            for entry in self.splits[split]
        ]


def _paths(entry: Entry) -> list[str]:
    return [key for key in ("image", "label") if key in entry]


def load_manifest(
    path: str | Path,
    dataset_dir: str | Path | None = None,
    *,
    splits: Sequence[str] = ("training", "validation"),
    labels: bool = True,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Manifest:
    """Load a manifest and check it.

    Schema and separation of cases and patients are checked over the whole manifest; files only in the splits
    in use, so that a manifest whose test files are kept elsewhere still trains.

    Args:
        path: the JSON file.
        dataset_dir: folder that its paths start from; None for the manifest's own folder.
        splits: the splits in use.
        labels: whether labels are used, hence checked.
        progress: wraps the list of entries whose files are opened, for a progress bar.

    Raises:
        ManifestError: naming the rule and the first ten entries that break it.
    """
    file = Path(path)
    content = _parse(file)
    root = Path(dataset_dir) if dataset_dir is not None else file.parent
    if not root.is_dir():
        raise ManifestError(root, "must be the folder of the data", got="no folder", fix="Name it with --dataset_dir")
    lists = {split: content[split] for split in SPLITS if split in content}
    _check_schema(file, lists)
    _check_separation(file, lists)
    used = [(split, entry) for split in splits for entry in lists.get(split, [])]
    _check_files(file, root, used, labels=labels)
    _check_bytes(file, root, used)
    if labels:
        _check_labels(file, root, progress(used))
    texts = {key: str(content.get(key, "")) for key in ("description", "licence", "reference")}
    name = str(content.get("name", file.stem))
    return Manifest(name, file, root.absolute(), lists, labels=content.get("labels", {}), **texts)


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
    """Raise when there are faults: the first ten, and how many more."""
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:SHOWN]) + more
        raise ManifestError(file, rule, got=f"{len(faults)} at fault:{listed}\n{fix}".rstrip())


def _check_schema(file: Path, lists: Mapping[str, Any]) -> None:
    faults = []
    for split, entries in lists.items():
        if not isinstance(entries, list):
            raise ManifestError(file, f'"{split}" must be a list of entries', got=type(entries).__name__)
        for number, entry in enumerate(entries):
            where = f"{split}[{number}]"
            if not isinstance(entry, dict):
                faults.append(f"{where}: {type(entry).__name__} in place of an object")
                continue
            for key in REQUIRED:
                if not isinstance(entry.get(key), str) or not entry[key]:
                    faults.append(f"{where}: {key} is {json.dumps(entry.get(key))}")
            for key in _paths(entry):
                if isinstance(entry[key], str) and (Path(entry[key]).is_absolute() or ".." in Path(entry[key]).parts):
                    faults.append(f"{where}: {key} {entry[key]} is not inside the data folder")
    rule = f"each entry must have {', '.join(REQUIRED)} as text, the paths relative to the data folder"
    _refuse(file, rule, faults, "Move the files into the data folder, or name another --dataset_dir.")


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
    inside = os.path.realpath(root) + os.sep
    for split, entry in used:
        for key in ("image", "label") if labels else ("image",):
            path = os.path.join(root, entry[key])
            if not os.path.isfile(path):
                absent.append(f"{split}, case {entry['case_id']}: {path}")
            elif os.path.islink(path) and not os.path.realpath(path).startswith(inside):
                outside.append(f"{split}, case {entry['case_id']}: {path} -> {os.path.realpath(path)}")
    _refuse(file, "each file must be present", absent, "Name the folder of the data with --dataset_dir.")
    _refuse(file, "each file must be inside the data folder", outside, "Copy the files in place of linking them.")


def _check_bytes(file: Path, root: Path, used: Sequence[tuple[str, Entry]]) -> None:
    """The same image in two splits: only files of equal size in two splits are hashed."""
    sizes: dict[int, list[int]] = defaultdict(list)
    for number, (_, entry) in enumerate(used):
        sizes[os.stat(os.path.join(root, entry["image"])).st_size].append(number)
    faults = []
    for numbers in sizes.values():
        if len({used[number][0] for number in numbers}) < 2:
            continue
        digests: dict[bytes, list[int]] = defaultdict(list)
        for number in numbers:
            content = (root / used[number][1]["image"]).read_bytes()
            digests[hashlib.blake2b(content, digest_size=16).digest()].append(number)
        for same in digests.values():
            if len({used[number][0] for number in same}) > 1:
                faults.append(" = ".join(f"{used[number][1]['image']} ({used[number][0]})" for number in same))
    _refuse(file, "no image may be in two splits", faults, "Keep one of each and make the split again by patient.")


def _check_labels(file: Path, root: Path, used: Iterable[tuple[str, Entry]]) -> None:
    damaged, sizes, empty = [], [], []
    for split, entry in used:
        where = f"{split}, case {entry['case_id']}: "
        try:
            image = image_size(root / entry["image"])
            mask = read_mask(root / entry["label"])
        except ImageError as error:
            damaged.append(f"{where}{error}")
            continue
        if mask.shape != image:
            sizes.append(f"{where}{entry['label']} is {mask.shape}, {entry['image']} is {image}")
        elif not entry.get("empty", False) and not mask.any():
            empty.append(f"{where}{entry['label']}")
    _refuse(file, "each file must be readable", damaged, "Replace the files or drop the entries.")
    _refuse(file, "a label must have the rows and columns of its image", sizes, "Export the labels at full size.")
    _refuse(file, "a label must not be empty", empty, 'Draw the lesion, or declare "empty": true in the entry.')


def assign_splits(strata: Mapping[str, Any], sizes: Sequence[int], *, seed: int) -> dict[str, int]:
    """Deal groups to splits of exact sizes, each stratum spread evenly over them.

    Args:
        strata: the stratum of each group (a case or patient); one value for all is a plain random split.
        sizes: the number of groups of each split; together no more than there are groups.
        seed: of the shuffle.

    Returns:
        The number of each group's split; groups beyond the sizes are left out.

    Raises:
        InputError: when there are fewer groups than asked for.

    Example:
        >>> dealt = assign_splits({str(i): i % 2 for i in range(10)}, [6, 2, 2], seed=0)
        >>> [sum(int(group) % 2 for group in dealt if dealt[group] == split) for split in range(3)]
        [3, 1, 1]
    """
    import random

    if sum(sizes) > len(strata) or min(sizes) < 0:
        raise InputError("split sizes", f"must sum to at most {len(strata)} groups", got=tuple(sizes))
    groups = sorted(strata)
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: str(strata[group]))  # stable: random within each stratum
    rest = len(groups) - sum(sizes)
    # Each split's turns are spread evenly over the row of groups, so each stratum gets its share.
    turns = [((turn + 0.5) / size, split) for split, size in enumerate([*sizes, rest]) for turn in range(size)]
    return {group: split for group, (_, split) in zip(groups, sorted(turns), strict=True) if split < len(sizes)}


def split_sizes(split: Sequence[float], groups: int) -> list[int]:
    """Turn ratios that sum to 1 into exact sizes (largest remainder); whole numbers are sizes already.

    Raises:
        InputError: for anything else.

    Example:
        >>> split_sizes([0.6, 0.2, 0.2], 348), split_sizes([208, 70, 70], 348)
        ([209, 70, 69], [208, 70, 70])
    """
    if len(split) != len(SPLITS) or min(split) < 0:
        raise InputError("split", "must be three numbers: training, validation, test", got=tuple(split))
    if all(float(share).is_integer() for share in split) and sum(split) > 1:
        return [int(share) for share in split]
    if abs(sum(split) - 1) > 1e-6:
        raise InputError("split", "must be three counts, or three ratios that sum to 1", got=tuple(split))
    exact = [share * groups for share in split]
    sizes = [int(size) for size in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: sizes[i] - exact[i])
    for i in by_remainder[: groups - sum(sizes)]:
        sizes[i] += 1
    return sizes


def deal(
    entries: Sequence[Entry], split: Sequence[float], *, seed: int, stratify: Sequence[str] = ()
) -> dict[str, list[Entry]]:
    """Split entries by patient into the three lists of a manifest.

    Args:
        entries: the entries of all images.
        split: three counts of patients, or three ratios, for training, validation and test.
        seed: of the shuffle.
        stratify: columns whose values are spread evenly; a patient's value is that of the first image.

    Raises:
        InputError: for an unknown column or sizes that do not fit.
    """
    strata: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        for column in stratify:
            if column not in entry:
                raise InputError("stratify", f"must name columns of the entries: {', '.join(entry)}", got=column)
        values = tuple(str(entry[column]) for column in stratify)
        strata.setdefault(str(entry.get("patient_id", entry["case_id"])), values)
    dealt = assign_splits(strata, split_sizes(split, len(strata)), seed=seed)
    lists: dict[str, list[Entry]] = {name: [] for name in SPLITS}
    for entry in entries:
        number = dealt.get(str(entry.get("patient_id", entry["case_id"])))
        if number is not None:
            lists[SPLITS[number]].append(entry)
    return lists


def write_manifest(content: Mapping[str, Any], path: str | Path) -> Path:
    """Write a manifest, one entry a line; beside, then renamed.

    Args:
        content: the JSON object, with the lists ``training``, ``validation`` and ``test``.
        path: the JSON file; its folder is made.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text("".join(_lines(content)), encoding="utf-8")
    os.replace(partial, file)
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
