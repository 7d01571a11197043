"""BUSI's importer: the committed manifest, drawn folders of the published names, and what is refused."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.datasets.busi import busi
from monai_lesion.datasets.entries import SPLITS
from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.errors import InputError
from tests.shared_data import ABSENT, BUSI

MANIFEST = Path(__file__).parents[2] / "data_manifests" / "busi_dev.json"
GROUPS = BUSI / "near_duplicates.csv"
needs_busi = pytest.mark.skipif(not GROUPS.is_file(), reason=ABSENT)


@needs_busi
def test_committed_busi_manifest_is_what_the_importer_makes(tmp_path: Path) -> None:
    made = tmp_path / "m.json"
    called = CliRunner().invoke(app, ["manifest", "busi", str(BUSI), "--groups", str(GROUPS), "--output", str(made)])
    assert called.output.splitlines()[1] == "training 164, validation 50, test 78, calibration 27"
    assert made.read_bytes() == MANIFEST.read_bytes()


def test_committed_busi_manifest_cites_its_source_and_keeps_the_shares() -> None:
    content = json.loads(MANIFEST.read_text(encoding="utf-8"))
    assert content["licence"] == "CC BY 4.0"
    assert all(author in content["reference"] for author in ("Al-Dhabyani", "Gomaa", "Khaled", "Fahmy", "104863"))
    cases = {split: {entry["case_id"]: entry["pathology"] for entry in reversed(content[split])} for split in SPLITS}
    assert {split: len(found) for split, found in cases.items()} == {
        "training": 139,
        "validation": 41,
        "test": 68,
        "calibration": 24,
    }
    total = Counter(kind for found in cases.values() for kind in found.values())
    for split, share in (("validation", 0.15), ("test", 0.25), ("calibration", 0.6 * 0.15)):
        count = Counter(cases[split].values())
        assert all(abs(count[kind] - share * total[kind]) <= 1 for kind in total)
    assert sum(len(content[split]) for split in SPLITS) == 172 + 97 + 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 pictures of each class; each two follow one another in a group, and benign (3) has three masks."""
    random = np.random.default_rng(0)
    rows = ["class,file,group"]
    for kind in ("benign", "malignant", "normal"):
        (tmp_path / kind).mkdir()
        for number in range(1, 21):
            name = f"{kind} ({number})"
            rows.append(f"{kind},{name}.png,{kind[0]}{(number - 1) // 2}")
            Image.fromarray(random.integers(0, 255, (24, 32, 3), np.uint8)).save(tmp_path / kind / f"{name}.png")
            mask = np.zeros((24, 32), np.uint8)
            mask[4:9, 4:9] = 0 if kind == "normal" else 255
            Image.fromarray(mask).save(tmp_path / kind / f"{name}_mask.png")
            if name == "benign (3)":
                for more in (1, 2):
                    Image.fromarray(np.roll(mask, 9 * more, axis=1)).save(tmp_path / kind / f"{name}_mask_{more}.png")
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    return tmp_path


def images(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["image"]: {**entry, "split": split} for split in SPLITS for entry in content[split]}


def test_groups_stay_together_and_are_cases_of_numbered_views(folder: Path) -> None:
    entries = images(busi(folder, groups=folder / "groups.csv"))
    assert len(entries) == 60
    assert entries["benign/benign (10).png"] == {
        "case_id": "benign (9)",
        "view": "2",
        "image": "benign/benign (10).png",
        "label": "benign/benign (10)_mask.png",
        "pathology": "benign",
        "split": entries["benign/benign (9).png"]["split"],
    }
    splits = defaultdict(set)
    for entry in entries.values():
        splits[entry["case_id"]].add(entry["split"])
    assert all(len(found) == 1 for found in splits.values())


def test_masks_of_one_picture_are_joined_and_normal_is_declared_empty(folder: Path) -> None:
    content = busi(folder, groups=folder / "groups.csv")
    entries = images(content)
    three = [f"benign/benign (3)_mask{more}.png" for more in ("", "_1", "_2")]
    assert entries["benign/benign (3).png"]["label"] == three
    assert [image for image, entry in entries.items() if entry.get("empty")] == [
        image for image in entries if image.startswith("normal")
    ]
    loaded = load_manifest(write_manifest(content, folder / "m.json"), splits=SPLITS)
    assert sum(len(loaded.entries(split)) for split in SPLITS) == 60


def test_part_of_busi_and_a_list_of_more_are_taken(folder: Path) -> None:
    for file in folder.glob("malignant/*"):
        file.unlink()
    assert len(images(busi(folder, groups=folder / "groups.csv"))) == 40


def test_pictures_of_equal_look_are_one_case_without_a_list(folder: Path) -> None:
    picture = Image.open(folder / "benign" / "benign (7).png")
    picture.resize((64, 48), Image.Resampling.BICUBIC).save(folder / "benign" / "benign (15).png")
    Image.new("L", (64, 48)).save(folder / "benign" / "benign (15)_mask.png")
    entries = images(busi(folder, near_duplicates=True))
    assert entries["benign/benign (15).png"]["case_id"] == "benign (7)"
    assert len({entry["case_id"] for entry in entries.values()}) == 59
    both = images(busi(folder, groups=folder / "groups.csv", near_duplicates=True))
    assert {both[f"benign/benign ({number}).png"]["case_id"] for number in (7, 8, 15, 16)} == {"benign (7)"}


def refused(folder: Path, kind: str) -> dict[str, Any]:
    benign = folder / "benign"
    if kind == "other folder":
        return {"folder": benign}
    if kind == "other name":
        (benign / "benign 4.png").touch()
    elif kind == "other class":
        (benign / "normal (4).png").touch()
    elif kind == "no mask":
        (benign / "benign (4)_mask.png").unlink()
    elif kind == "no picture":
        (benign / "benign (4).png").unlink()
    elif kind == "short list":
        text = (folder / "groups.csv").read_text()
        (folder / "groups.csv").write_text(text.replace("benign,benign (4).png,b1\n", ""))
    elif kind == "no list":
        return {"groups": None}
    return {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other folder", r"benign: must be the folder of BUSI, got no pictures\. Name the folder that holds benign"),
        ("other name", r"must be named as BUSI's files are, got benign 4\.png"),
        ("other class", r"must be named as BUSI's files are, got normal \(4\)\.png"),
        ("no mask", r"must have a mask and each mask a picture, got benign/benign \(4\)\.png$"),
        ("no picture", r"must have a mask and each mask a picture, got benign/benign \(4\)_mask\.png$"),
        ("short list", r"groups\.csv: each picture must have a group .*, got none for benign/benign \(4\)\.png\. Name"),
        ("no list", r"each picture must have a group of near-duplicates, got none for .* and 59 more\. Name a list"),
    ],
)
def test_what_is_not_busi_is_refused(kind: str, message: str, folder: Path) -> None:
    options = {"folder": folder, "groups": folder / "groups.csv", **refused(folder, kind)}
    with pytest.raises(InputError, match=message):
        busi(**options)
