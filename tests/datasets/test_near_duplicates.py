"""Pictures of equal look: what is found, what is not, and how well on BUSI."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from monai_lesion.datasets import near_duplicates
from monai_lesion.datasets.importers import Reading, create_manifest
from monai_lesion.datasets.near_duplicates import find_near_duplicates, joined_groups
from monai_lesion.errors import InputError
from tests.shared_data import ABSENT, BUSI


def picture(seed: int) -> Image.Image:
    """Blobs as large as those of tissue."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 10), np.uint8)
    return Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)


SAVED: dict[str, Callable[[Image.Image, Path], object]] = {
    "bytes of another format": lambda image, file: image.save(file.with_suffix(".bmp")),
    "JPEG": lambda image, file: image.save(file.with_suffix(".jpg"), quality=40),
    "another size": lambda image, file: image.resize((320, 260)).save(file),
    "another gain": lambda image, file: ImageEnhance.Brightness(image).enhance(0.7).save(file),
    "colour": lambda image, file: image.convert("RGB").save(file),
    "a border less": lambda image, file: image.crop((2, 2, 158, 118)).save(file),
}


@pytest.mark.parametrize("kind", SAVED)
def test_picture_saved_anew_is_found(kind: str, tmp_path: Path) -> None:
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    SAVED[kind](picture(2), tmp_path / "9.png")
    files = sorted(tmp_path.iterdir())
    assert find_near_duplicates(files) == [0, 1, 2, 3, 2]


def test_other_pictures_and_mirrored_ones_are_not_alike(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for number, file in enumerate(files[:-2]):
        picture(number).save(file)
    ImageOps.mirror(picture(0)).save(files[-2])
    Image.new("L", (40, 30), 128).save(files[-1])
    assert find_near_duplicates(files) == list(range(12))


def test_pictures_of_one_grey_are_like_none(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for file in files:
        Image.new("L", (40, 30)).save(file)
    assert find_near_duplicates(files) == [0, 1]


def test_likeness_is_passed_on_and_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = (np.asarray(picture(seed), np.float64) for seed in (0, 1))
    files = [tmp_path / f"{number}.png" for number in range(9)]
    for number, file in enumerate(files):  # from one picture to another in small steps
        Image.fromarray((first + (last - first) * number / 8).astype(np.uint8)).save(file)
    assert find_near_duplicates([files[0], files[8]]) == [0, 1]
    assert find_near_duplicates(files) == [0] * 9
    monkeypatch.setattr(near_duplicates, "_BLOCK", 2)
    assert find_near_duplicates(files) == [0] * 9


def test_no_pictures_have_no_groups_and_a_likeness_beyond_1_is_refused(tmp_path: Path) -> None:
    assert find_near_duplicates([]) == []
    for likeness in (0, 1.1):
        with pytest.raises(InputError, match="likeness: must be above 0 and at most 1, got"):
            find_near_duplicates([], likeness=likeness)


def test_groups_grow_together_over_any_key() -> None:
    assert joined_groups("abcde", "12345", "xyzyx") == {"a": "a", "b": "b", "c": "c", "d": "b", "e": "a"}
    assert joined_groups("abc", "112", "xyy") == dict.fromkeys("abc", "a")


def test_created_manifest_makes_patients_of_equal_look_one(tmp_path: Path) -> None:
    for number in range(10):
        for view in "ab":
            picture(2 * number + (view == "b")).save(tmp_path / f"{number}_{view}.png")
            Image.new("1", (160, 120), 1).save(tmp_path / f"{number}_{view}_mask.png")
    picture(5).resize((150, 120)).save(tmp_path / "7_a.png")  # case 2's second view
    Image.new("1", (150, 120), 1).save(tmp_path / "7_a_mask.png")

    def patients(**options: bool) -> dict[str, str]:
        content = create_manifest(tmp_path, "{case}_{view}.png", "{case}_{view}_mask.png", reading=Reading(**options))
        entries = [entry for split in ("training", "validation", "test") for entry in content[split]]
        return {entry["image"]: entry.get("patient_id", entry["case_id"]) for entry in entries}

    apart, joined = patients(), patients(near_duplicates=True)
    assert {image: patient for image, patient in joined.items() if patient != apart[image]} == {
        "7_a.png": "2",
        "7_b.png": "2",
    }


@pytest.mark.slow
@pytest.mark.skipif(not BUSI.is_dir(), reason=ABSENT)
def test_look_finds_the_listed_near_duplicates_of_busi() -> None:
    with (BUSI / "near_duplicates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def pairs(groups: list[object]) -> set[tuple[int, int]]:
        return {pair for pair in combinations(range(len(groups)), 2) if groups[pair[0]] == groups[pair[1]]}

    listed = pairs([row["group"] for row in rows])
    found = pairs(list(find_near_duplicates([BUSI / row["class"] / row["file"] for row in rows])))
    assert found <= listed
    assert len(found & listed) >= 0.96 * len(listed)
