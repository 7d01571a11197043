"""Folders to manifests: what the names mean, what becomes of masks, and that every result passes its own check."""

from __future__ import annotations

import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.drawings import MASKS, MaskFolder, find_drawings
from monai_lesion.datasets.entries import SPLITS
from monai_lesion.datasets.importers import Reading, create_manifest, gather
from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.datasets.splits import DEALT
from monai_lesion.errors import InputError
from tests.shared_data import ABSENT, BUSI


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".png", ".PNG", ".jpg")):  # no two alike, and each a mask as well
            values = np.frombuffer(sha256(name.encode()).digest(), np.uint8).reshape(4, 8)
            Image.fromarray(values if "m" not in name.split("/")[0] else (values > 99).view(np.uint8)).save(
                folder / name
            )
        else:
            (folder / name).write_text(name)
    return folder


def scan_folder(folder: Path, images: str | None = None, labels: str | None = None, **how: Any) -> list[Any]:
    made = MaskFolder(folder, folder / MASKS)
    return gather(folder, find_drawings(folder, images, labels), reading=Reading(**how), made=made)


def test_pattern_gives_case_view_patient_and_columns(tmp_path: Path) -> None:
    names = ("P1/0002_front_GE.png", "P1/0002_side_GE.png", "P2/0001_front_Philips.png")
    touch(tmp_path, *(f"images/{name}" for name in names), *(f"masks/{name}" for name in names), "images/notes.txt")
    pattern = "{patient}/{case}_{view}_{device}.png"
    entries = scan_folder(tmp_path, f"images/{pattern}", f"masks/{pattern}")
    assert entries[0] == {
        "case_id": "0002",
        "view": "front",
        "image": "images/P1/0002_front_GE.png",
        "label": "masks/P1/0002_front_GE.png",
        "patient_id": "P1",
        "device": "GE",
    }
    assert [entry["case_id"] for entry in entries] == ["0002", "0002", "0001"]
    assert list(entries[0])[:4] == ["case_id", "view", "image", "label"]


def test_star_is_any_text_within_a_folder_and_view_may_be_absent(tmp_path: Path) -> None:
    touch(tmp_path, "a/7_2020-01.png", "a/8_x.png", "b/7.nii.gz", "b/8.nii.gz", "a/deep/9_x.png")
    entries = scan_folder(tmp_path, "*/{case}_*.png", "b/{case}.nii.gz")
    assert [(entry["case_id"], entry["view"], entry["label"]) for entry in entries] == [
        ("7", "single", "b/7.nii.gz"),
        ("8", "single", "b/8.nii.gz"),
    ]


def test_word_used_twice_must_be_the_same_twice(tmp_path: Path) -> None:
    touch(tmp_path, "1/1_a.png", "2/1_b.png", "m/1.png")
    assert [entry["image"] for entry in scan_folder(tmp_path, "{case}/{case}_{view}.png", "m/{case}.png")] == [
        "1/1_a.png"
    ]


def test_labels_beside_their_images_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "benign (1).png", "benign (1)_mask.png", "benign (2).png", "benign (2)_mask.png")
    entries = scan_folder(tmp_path, "{case}.png", "{case}_mask.png")
    assert [entry["image"] for entry in entries] == ["benign (1).png", "benign (2).png"]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ("{view}.png", "{view}.png", r"images: the pattern must hold \{case\} or \{patient\}, got \{view\}\.png"),
        ("{case.png", "{case}.png", r"images: the pattern must hold \{case\} or"),
        ("{case}_{label}.png", "m/{case}.png", r"images: the pattern cannot hold \{label\}"),
        ("{case}.png", "m/{case}_{view}.png", r"labels: the pattern may hold \{case\}, and no \* right"),
        ("{case}.png", "m/{case}*.png", r"labels: the pattern may hold \{case\}, and no \* right"),
        ("{case}.png", "{case}.png", "labels: the pattern must not give the image itself"),
        ("{case}.jpg", "m/{case}.png", r"must hold files named \{case\}\.jpg, got none"),
        ("{case}.png", "m/{case}.png", r"each image must have a label, got no file m/3\.png of 3\.png"),
    ],
    ids=["no case", "open brace", "own word", "unknown word", "star", "itself", "no image", "no label"],
)
def test_wrong_pattern_is_refused(images: str, labels: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "3.png", "m/1.png", "m/2.png", "unlike_x.gif")
    with pytest.raises(InputError, match=message):
        scan_folder(tmp_path, images, labels)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the folder of the data, got no folder"):
        create_manifest(tmp_path / "gone", "{case}.png", "m/{case}.png")


def test_many_missing_labels_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:02}.png" for number in range(13)))
    with pytest.raises(InputError, match=r"no file m/00\.png of .* and 3 more"):
        scan_folder(tmp_path, "{case}.png", "m/{case}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 cases of 10 patients, two views each; a table tells the pathology."""
    names = [f"p{case // 2}/{case:02}_{view}.png" for case in range(20) for view in ("front", "side")]
    touch(tmp_path, *(f"i/{name}" for name in names), *(f"m/{name}" for name in names))
    rows = [
        "case_id,pathology,age",
        *(f"{case:02},{'malignant' if case % 4 < 2 else 'benign'},50" for case in range(20)),
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    return tmp_path


PATTERN = "{patient}/{case}_{view}.png"


def make(folder: Path, **options: Any) -> dict[str, Any]:
    how = {name: options.pop(name) for name in ("table", "key") if name in options}
    return create_manifest(folder, f"i/{PATTERN}", f"m/{PATTERN}", reading=Reading(**how), **options)


@pytest.mark.parametrize(
    ("split", "patients"),
    [((0.6, 0.2, 0.2), (6, 2, 2)), ((5, 3, 2), (5, 3, 2)), ((4, 1, 1), (4, 1, 1)), ((1, 0, 0), (10, 0, 0))],
    ids=["ratios", "counts", "fewer", "all"],
)
def test_split_is_by_patient_and_exact(split: tuple[float, ...], patients: tuple[int, ...], folder: Path) -> None:
    content = make(folder, split=split)
    assert content["name"] == folder.name
    for name, number in zip(DEALT, patients, strict=True):
        assert len({entry["patient_id"] for entry in content[name]}) == number
        assert len(content[name]) == number * 4  # all cases and views of each
    everyone = [entry["patient_id"] for name in DEALT for entry in content[name]]
    assert set(Counter(everyone).values()) == {4}


def test_split_depends_on_the_seed_alone(folder: Path) -> None:
    assert make(folder, seed=3) == make(folder, seed=3)
    assert make(folder, seed=3) != make(folder, seed=4)


def test_table_adds_columns_and_strata_are_spread(folder: Path) -> None:
    # The patients are malignant and benign in turn.
    content = make(folder, split=(6, 2, 2), table=folder / "table.csv", stratify=["pathology"])
    for name, number in zip(DEALT, (3, 1, 1), strict=True):
        patients = {entry["patient_id"]: entry["pathology"] for entry in content[name]}
        assert Counter(patients.values()) == {"malignant": number, "benign": number}
    assert content["training"][0]["age"] == "50"


def test_created_manifest_passes_its_own_loader(folder: Path) -> None:
    content = make(folder, about={"licence": "CC0", "reference": "nobody"})
    manifest = load_manifest(write_manifest(content, folder / "m.json"))
    assert manifest.licence == "CC0"
    assert len(manifest.entries("training")) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stratify": ["centre"]}, "stratify: must name columns of the entries: case_id, view, .*, got centre"),
        (
            {"split": (8, 2, 2)},
            r"split: must sum to at most the number of patients, 10, got \(8, 2, 2\). For shares write decimals",
        ),
        ({"split": (0.5, 0.2, 0.2)}, "split: must be three whole numbers, or three shares that sum to 1"),
        ({"split": (0.5, 0.5)}, "split: must be three numbers"),
        ({"split": (12, -1, -1)}, "split: must be three numbers"),
        ({"table": "gone.csv"}, "must be a CSV file, got no file"),
        ({"table": "table.csv", "key": "patient_id"}, "must have the column patient_id, got case_id, pathology, age"),
        ({"table": "short.csv"}, "must have a row for each case_id, got none for 01"),
        ({"table": "double.csv"}, "must have one row for each case_id, got two that differ for 00"),
        ({"table": "ragged.csv"}, "each line must have as many values as there are columns"),
        ({"table": "latin.csv"}, "must be a CSV file in UTF-8"),
    ],
    ids=["stratum", "too many", "ratios", "two", "negative", "absent", "column", "row", "double", "ragged", "latin"],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str, folder: Path) -> None:
    (folder / "short.csv").write_text("case_id,age\n00,1\n")
    (folder / "double.csv").write_text("case_id,age\n00,1\n00,2\n")
    (folder / "ragged.csv").write_text("case_id,age\n00\n")
    (folder / "latin.csv").write_bytes("case_id,name\n00,Gómez\n".encode("latin-1"))
    if "table" in options:
        options = {**options, "table": folder / options["table"]}
    with pytest.raises(InputError, match=message):
        make(folder, **options)


def test_calibration_takes_its_share_of_the_training_patients_only(folder: Path) -> None:
    before, after = make(folder), make(folder, calibration=0.5, table=folder / "table.csv", stratify=["pathology"])
    assert "calibration" not in before
    assert [len(after[name]) for name in SPLITS] == [12, 8, 8, 12]
    found = {name: {entry["patient_id"]: entry["pathology"] for entry in after[name]} for name in SPLITS}
    assert len({patient for patients in found.values() for patient in patients}) == 10
    assert sorted(Counter(found["calibration"].values()).values()) == [1, 2]


def test_cases_of_two_patients_with_one_name_stay_two_cases(tmp_path: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        for case in ("lesion1", f"only{patient}"):
            (tmp_path / patient / case).mkdir(parents=True)
            for name in ("front.png", "front_mask.png"):
                (tmp_path / patient / case / name).write_bytes(b"x")
    entries = scan_folder(tmp_path, "{patient}/{case}/{view}.png", "{patient}/{case}/{view}_mask.png")
    cases = {entry["case_id"] for entry in entries}
    assert cases == {f"P{n}/{case}" for n in (1, 2, 3) for case in ("lesion1", f"onlyP{n}")}


@pytest.mark.skipif(not BUSI.is_dir(), reason=ABSENT)
def test_busi_is_recognised(tmp_path: Path) -> None:
    for kind in ("benign", "malignant", "normal"):
        (tmp_path / kind).mkdir()
        pictures = [file for file in sorted((BUSI / kind).iterdir()) if "mask" not in file.name][:4]
        for file in pictures:
            for each in (BUSI / kind).glob(f"{file.stem}*"):
                shutil.copy(each, tmp_path / kind)
    content = create_manifest(tmp_path)
    assert content["reference"].startswith("W. Al-Dhabyani")
    assert sum(len(content[split]) for split in DEALT) == 12
