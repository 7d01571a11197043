"""Folds for cross-validation, by patient: an ordinary manifest for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_lesion.datasets.entries import SPLITS, Entry
from monai_lesion.datasets.splits import assign_splits, patient_of, set_aside, strata_of
from monai_lesion.errors import InputError


def fold_manifests(
    content: Mapping[str, Any],
    folds: int,
    *,
    seed: int = 0,
    stratify: Sequence[str] = (),
    validation: float = 0.15,
    calibration: float = 0.0,
) -> list[dict[str, Any]]:
    """Deal the patients of a manifest into folds, and make a manifest that tests on each.

    All lists of the manifest are dealt anew. Each image gets its number, from 1, in the column ``fold``.

    Args:
        content: JSON object of a manifest.
        folds: number of folds, at least 2.
        seed: random seed.
        stratify: columns to balance over the folds.
        validation: share of the patients of the other folds that go to the list ``validation``.
        calibration: share of those left that go to the list ``calibration``; 0 makes no such list.

    Returns:
        One content for each fold: its images are the list ``test``.

    Raises:
        InputError: when there are fewer patients than folds, a column is unknown, or a list would be empty.

    Example:
        >>> entries = [{"case_id": str(n), "view": "a", "image": f"{n}.png", "label": f"m{n}.png"} for n in range(10)]
        >>> made = fold_manifests({"name": "ten", "training": entries}, 5)
        >>> [[len(each[split]) for split in ("training", "validation", "test")] for each in made][0], made[0]["name"]
        ([7, 1, 2], 'ten, fold 1 of 5')
    """
    entries: list[Entry] = [dict(entry) for split in SPLITS for entry in content.get(split, ())]
    strata = strata_of(entries, stratify)
    if not 2 <= folds <= len(strata):
        raise InputError("folds", f"must be from 2 to the number of patients, {len(strata)}", got=folds)
    sizes = [len(strata) // folds + (number < len(strata) % folds) for number in range(folds)]
    dealt = assign_splits(strata, sizes, seed=seed)
    for entry in entries:
        entry["fold"] = dealt[patient_of(entry)] + 1
    about = {key: value for key, value in content.items() if key not in SPLITS}
    made = []
    for fold in range(1, folds + 1):
        rest = [entry for entry in entries if entry["fold"] != fold]
        lists = {"test": [entry for entry in entries if entry["fold"] == fold]}
        for split, share in (("validation", validation), ("calibration", calibration)):
            if share:
                rest, lists[split] = set_aside(rest, share, seed=seed, stratify=stratify)
        ordered = {split: lists[split] for split in SPLITS if split in lists}
        name = f"{content.get('name', 'data')}, fold {fold} of {folds}"
        made.append({**about, "name": name, "training": rest, **ordered})
    return made
