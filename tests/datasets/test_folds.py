"""Folds: each patient tested once, in one fold, and never beside a split of its own."""

from __future__ import annotations

from collections import Counter

import pytest

from monai_lesion.datasets.entries import SPLITS
from monai_lesion.datasets.folds import fold_manifests
from monai_lesion.errors import InputError

ENTRIES = [
    {
        "case_id": f"{case}",
        "patient_id": f"P{case // 2}",
        "view": view,
        "image": f"{case}{view}.png",
        "label": f"m{case}{view}",
        "kind": "ab"[case % 4 // 2],
    }
    for case in range(46)
    for view in "lr"
]  # 23 patients of four images
CONTENT = {"name": "all", "licence": "CC0", "training": ENTRIES[:60], "test": ENTRIES[60:]}


@pytest.mark.parametrize("folds", [2, 5, 23])
def test_every_image_is_tested_once_and_patients_stay_together(folds: int) -> None:
    made = fold_manifests(CONTENT, folds, seed=3, calibration=0 if folds == 2 else 0.1)
    assert sorted(entry["image"] for each in made for entry in each["test"]) == sorted(e["image"] for e in ENTRIES)
    sizes = [len({entry["patient_id"] for entry in each["test"]}) for each in made]
    assert max(sizes) - min(sizes) <= 1
    for each in made:
        lists = {split: {entry["patient_id"] for entry in each[split]} for split in SPLITS if split in each}
        assert sum(map(len, lists.values())) == len(set.union(*lists.values())) == 23
        assert all(lists.values())
        assert each["licence"] == "CC0"
    assert len({each["name"] for each in made}) == folds


def test_folds_are_seeded_balanced_and_numbered() -> None:
    made = fold_manifests(CONTENT, 4, seed=1, stratify=["kind"])
    assert made == fold_manifests(CONTENT, 4, seed=1, stratify=["kind"])
    assert made != fold_manifests(CONTENT, 4, seed=2, stratify=["kind"])
    for number, each in enumerate(made, start=1):
        assert {entry["fold"] for entry in each["test"]} == {number}
        kinds = Counter({entry["patient_id"]: entry["kind"] for entry in each["test"]}.values())
        assert max(kinds.values()) - min(kinds.values()) <= 1
    assert "fold" not in ENTRIES[0]


@pytest.mark.parametrize("folds", [1, 24])
def test_a_number_of_folds_that_does_not_fit_is_refused(folds: int) -> None:
    with pytest.raises(InputError, match=f"folds: must be from 2 to the number of patients, 23, got {folds}"):
        fold_manifests(CONTENT, folds)
