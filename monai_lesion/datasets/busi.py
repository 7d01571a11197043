"""BUSI, breast ultrasound of one hospital, as its authors publish it: folders benign, malignant and normal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.datasets.entries import Entry
from monai_lesion.datasets.near_duplicates import find_near_duplicates, joined_groups
from monai_lesion.datasets.splits import deal
from monai_lesion.datasets.tables import table_rows
from monai_lesion.errors import InputError, listing

CLASSES = ("benign", "malignant", "normal")
_NAME = re.compile(r"(benign|malignant|normal) \((\d+)\)(?:(_mask)(?:_(\d+))?)?\.png")
_FIX = "Name the folder that holds benign, malignant and normal with files such as 'benign (25).png'"


def is_busi(folder: Path) -> bool:
    """Whether a folder is BUSI's, whole or in part: all pictures of its classes are named as the authors name them."""
    names = [file.name for kind in CLASSES for file in (folder / kind).glob("*.png")]
    return bool(names) and all(_NAME.fullmatch(name) for name in names)


def busi(
    folder: str | Path,
    *,
    groups: str | Path | None = None,
    near_duplicates: bool = False,
    split: Sequence[float] = (0.6, 0.15, 0.25),
    calibration: float = 0.15,
    seed: int = 0,
) -> dict[str, Any]:
    """Make the manifest for BUSI, whole or in part, split by groups of pictures that show the same lesion.

    BUSI does not name patients, and many of its pictures are near-duplicates. A list, or their look, says which belong
    together. Each group is a case. Several masks of a picture are joined.

    Args:
        folder: the folder with ``benign``, ``malignant`` and ``normal``; paths in the manifest start from it.
        groups: CSV file with the columns ``class``, ``file`` and ``group``; rows for
            missing files are ignored.
        near_duplicates: also group look-alike pictures, see
            :func:`monai_lesion.datasets.near_duplicates.find_near_duplicates`.
        split: shares or numbers of groups for training, validation and test, balanced by class.
        calibration: share of the training groups to move to the list ``calibration``.
        seed: random seed for the split.

    Raises:
        InputError: when the folder is not BUSI's, a picture lacks its mask, or its group is unknown.

    Source:
        Al-Dhabyani, Gomaa, Khaled, Fahmy: Dataset of breast ultrasound images, Data in Brief 28 (2020) 104863,
        https://doi.org/10.1016/j.dib.2019.104863.
    """
    root = Path(folder)
    labels = _pictures(root)
    listed = {} if groups is None else _listed(Path(groups))
    unlisted = [image for image in labels if image not in listed]
    if unlisted and not near_duplicates:
        got = f"none for {unlisted[0]}" + (f" and {len(unlisted) - 1} more" if len(unlisted) > 1 else "")
        fix = "Name a list that has it with --groups, or find such pictures by their look with --near-duplicates"
        raise InputError(groups or root, "each picture must have a group of near-duplicates", got=got, fix=fix)
    found = find_near_duplicates([root / image for image in labels]) if near_duplicates else range(len(labels))
    first = joined_groups(labels, [listed.get(image, image) for image in labels], [str(number) for number in found])
    entries = _entries(labels, first)
    lists = deal(entries, split, seed=seed, stratify=("pathology",), calibration=calibration)
    count = ", ".join(f"{sum(image.startswith(kind) for image in labels)} {kind}" for kind in CLASSES)
    return {
        "name": "BUSI",
        "description": f"Breast ultrasound of one hospital, {count}. Near-duplicates are one case, and stay together",
        "licence": "CC BY 4.0",
        "reference": "W. Al-Dhabyani, M. Gomaa, H. Khaled, A. Fahmy, Dataset of breast ultrasound images, "
        "Data in Brief 28 (2020) 104863, doi:10.1016/j.dib.2019.104863",
        "labels": {"1": "lesion"},
        **lists,
    }


def _pictures(root: Path) -> dict[str, list[str]]:
    """Find the mask files of each picture, by class and number."""
    pictures: dict[tuple[str, int], str] = {}
    masks: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for kind in CLASSES:
        for file in (root / kind).glob("*.png"):
            match = _NAME.fullmatch(file.name)
            if match is None or match[1] != kind:
                raise InputError(file, "must be named as BUSI's files are", got=file.name, fix=_FIX)
            key, path = (kind, int(match[2])), f"{kind}/{file.name}"
            if match[3]:
                masks[key].append((int(match[4] or 0), path))
            else:
                pictures[key] = path
    if not pictures:
        raise InputError(root, "must be the folder of BUSI", got="no pictures", fix=_FIX)
    alone = [path for key, path in sorted(pictures.items()) if key not in masks]
    alone += [path for key, files in sorted(masks.items()) if key not in pictures for _, path in files]
    if alone:
        raise InputError(root, "each picture must have a mask and each mask a picture", got=listing(alone))
    return {path: [file for _, file in sorted(masks[key])] for key, path in sorted(pictures.items())}


def _listed(file: Path) -> dict[str, str]:
    columns = ("class", "file", "group")
    return {f"{row['class']}/{row['file']}": f"group {row['group']}" for row in table_rows(file, columns)}


def _entries(labels: Mapping[str, Sequence[str]], first: Mapping[str, str]) -> list[Entry]:
    sizes: dict[str, int] = defaultdict(int)
    for image in labels:
        sizes[first[image]] += 1
    views: dict[str, int] = defaultdict(int)
    entries = []
    for image, masks in labels.items():
        group = first[image]
        views[group] += 1
        kind = image.partition("/")[0]
        entry: Entry = {
            "case_id": Path(group).stem,
            "view": str(views[group]) if sizes[group] > 1 else "single",
            "image": image,
            "label": masks[0] if len(masks) == 1 else list(masks),
            "pathology": kind,
        }
        entries.append({**entry, "empty": True} if kind == "normal" else entry)
    return entries
