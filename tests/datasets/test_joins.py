"""Several manifests as one, from files and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.datasets.defaults import open_data
from monai_lesion.datasets.joins import inside_folders, join_manifests, repeated
from monai_lesion.datasets.manifests import load_manifest, read_manifest, write_manifest
from monai_lesion.errors import InputError, ManifestError

SPLITS = ("training", "validation", "test")


def hospital(root: Path, name: str, start: int, **columns: Any) -> Path:
    """A manifest beside its data: one case a split, named alike in every hospital, pictures of its own."""
    lists = {}
    for number, split in enumerate(SPLITS):
        for kind, array in (("i", np.full((16, 16), start + number)), ("m", np.eye(16) * 255)):
            (root / name / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(root / name / kind / f"{number}.png")
        entry = {"case_id": str(number), "view": "front", "image": f"i/{number}.png", "label": f"m/{number}.png"}
        lists[split] = [{**entry, **columns}]
    content = {"name": name, "licence": f"{name}'s", "labels": {"1": "lesion"}, **lists}
    return write_manifest(content, root / name / "manifest.json")


@pytest.fixture
def hospitals(tmp_path: Path) -> list[Path]:
    first = hospital(tmp_path, "A", 10, device="GE")
    return [first, hospital(tmp_path, "B", 20)]


def test_joined_in_memory_and_joined_in_a_file_are_the_same_data(hospitals: list[Path], tmp_path: Path) -> None:
    call = ["manifest", "join", *map(str, hospitals), "--folders", "A,B", "--output", str(tmp_path / "both.json")]
    assert CliRunner().invoke(app, call).exit_code == 0
    filed, loaded = load_manifest(tmp_path / "both.json", splits=SPLITS), open_data(hospitals, splits=SPLITS)
    for split in SPLITS:
        assert loaded.entries(split) == filed.entries(split)
    assert (loaded.name, loaded.licence, loaded.labels) == ("A + B", "A: A's; B: B's", {"1": "lesion"})
    assert loaded.licence == filed.licence


def test_entries_keep_their_data_set_and_equal_names_stay_apart(hospitals: list[Path]) -> None:
    entries = open_data(hospitals).entries("training")
    assert [(entry["dataset"], entry["case_id"], entry["patient_id"]) for entry in entries] == [
        ("A", "A/0", "A/0"),
        ("B", "B/0", "B/0"),
    ]
    assert [np.asarray(Image.open(entry["image"]))[0, 0] for entry in entries] == [10, 20]
    assert [entry.get("device") for entry in entries] == ["GE", None]


def test_folders_of_the_data_may_lie_anywhere(hospitals: list[Path], tmp_path: Path) -> None:
    moved = hospitals[1].rename(tmp_path / "other.json")
    entries = open_data([hospitals[0], moved], [None, tmp_path / "B"]).entries("validation")
    assert [Path(entry["image"]).is_file() for entry in entries] == [True, True]
    with pytest.raises(ManifestError, match=r"other\.json: each file must be present"):
        open_data([hospitals[0], moved])


def test_joining_again_keeps_the_names(hospitals: list[Path], tmp_path: Path) -> None:
    both = join_manifests([read_manifest(file) for file in hospitals], ["A", "B"])
    third = read_manifest(hospital(tmp_path, "C", 30))
    all_three = join_manifests([both, third], ["x", "C"])
    assert [(entry["dataset"], entry["case_id"], entry["image"]) for entry in all_three["test"]] == [
        ("A", "A/2", "x/A/i/2.png"),
        ("B", "B/2", "x/B/i/2.png"),
        ("C", "C/2", "C/i/2.png"),
    ]


def test_labels_of_several_files_and_of_none_are_joined_too() -> None:
    entry = {"case_id": "1", "view": "a", "image": "i.png"}
    kinds: list[dict[str, Any]] = [{"label": ["m.png", "n.png"]}, {"label": None, "empty": True}, {"empty": True}]
    first = {"name": "A", "training": [{**entry, **kind} for kind in kinds]}
    joined = join_manifests([first, {"name": "B", "training": []}], ["a", "b"])["training"]
    assert [entry.get("label", "absent") for entry in joined] == [["a/m.png", "a/n.png"], None, "absent"]


def test_image_of_one_split_in_another_manifests_other_split_is_refused(hospitals: list[Path]) -> None:
    (hospitals[1].parent / "i" / "2.png").write_bytes((hospitals[0].parent / "i" / "0.png").read_bytes())
    for file in hospitals:
        load_manifest(file, splits=SPLITS)
    with pytest.raises(
        ManifestError, match=r"no image may be in two splits, got 1 that break this rule:\n  .*0\.png \(training\)"
    ):
        open_data(hospitals)


@pytest.mark.parametrize(
    ("change", "folders", "message"),
    [
        ({}, ["a"], "folders: must be one for each of the 2 manifests, got 1"),
        ({"name": "A"}, [], 'must have different names, got A, A. Change "name"'),
        ({"labels": {"1": "cyst"}}, [], 'labels, "1": must mean the same in every manifest, got lesion and cyst'),
    ],
    ids=["folders", "names", "labels"],
)
def test_manifests_that_do_not_fit_are_refused(
    change: dict[str, Any], folders: list[str], message: str, hospitals: list[Path]
) -> None:
    contents = [json.loads(file.read_text()) for file in hospitals]
    with pytest.raises(InputError, match=message):
        join_manifests([contents[0], {**contents[1], **change}], folders)


def test_wrong_arguments_are_refused(hospitals: list[Path]) -> None:
    with pytest.raises(InputError, match="manifests: must be at least two to join, got 1"):
        open_data(hospitals[:1])
    for folders in ([None], "data"):
        with pytest.raises(InputError, match="dataset_dir: must list a folder for each of the 2 manifests, got"):
            open_data(hospitals, folders)
    with pytest.raises(InputError, match="dataset_dir: must be one folder for one manifest, got"):
        open_data(hospitals[0], ["a", "b"])
    with pytest.raises(InputError, match=r"folders: must be relative paths inside the data folder, with /, got \.\./b"):
        inside_folders(["a", "../b"])


def test_a_small_data_set_is_listed_as_often_as_asked() -> None:
    entries = [{"case_id": "1", "dataset": "A"}, {"case_id": "2", "dataset": "B"}, {"case_id": "3"}]
    assert [entry["case_id"] for entry in repeated(entries, {"B": 3})] == ["1", "2", "2", "2", "3"]
    assert repeated(entries) == entries


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"C": 2}, "--repeats: must name data sets of the joined manifest, got 'C' beside A"),
        ({"A": 0}, "--repeats, 'A': must be a positive integer, got 0"),
        ({"A": 1.5}, "--repeats, 'A': must be a positive integer, got 1.5"),
    ],
)
def test_wrong_repeats_are_refused(repeats: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        repeated([{"dataset": "A"}], repeats)
