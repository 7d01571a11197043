"""What was drawn on the pictures of a folder, from masks, LabelMe or COCO files to a valid manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.drawings import MASKS
from monai_lesion.datasets.entries import SPLITS
from monai_lesion.datasets.importers import Reading, create_folds, create_manifest
from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.datasets.mask_values import Choice
from monai_lesion.errors import InputError


def drawn(folder: Path, **files: Any) -> Path:
    """Pictures that differ, each with a mask, LabelMe's shapes, or None for nothing."""
    for number, (name, drawing) in enumerate(files.items()):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30), 10 * number, np.uint8)).save(file)
        if isinstance(drawing, np.ndarray):
            Image.fromarray(drawing.astype(np.uint8)).save(folder / f"{name}_mask.png")
        elif drawing is not None:
            about = {"imagePath": file.name, "imageHeight": 20, "imageWidth": 30}
            file.with_suffix(".json").write_text(json.dumps({**about, "shapes": drawing}))
    return folder


SQUARE = np.pad(np.full((6, 6), 255, np.uint8), ((4, 10), (4, 20)))
SHAPE = [{"label": "lesion", "shape_type": "rectangle", "points": [[4, 4], [10, 10]]}]


def check(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entries by image, after the manifest has been written and loaded."""
    load_manifest(write_manifest(content, folder / "m.json"), splits=SPLITS)
    return {entry["image"]: entry for split in SPLITS for entry in content.get(split, ())}


def test_masks_beside_their_pictures_need_no_pattern(tmp_path: Path) -> None:
    drawn(tmp_path, a=SQUARE, b=SQUARE, c=SQUARE)
    Image.fromarray(np.roll(SQUARE, 9, axis=1)).save(tmp_path / "b_mask_1.png")
    entries = check(create_manifest(tmp_path), tmp_path)
    assert {image: entry["label"] for image, entry in entries.items()} == {
        "a.png": "a_mask.png",
        "b.png": ["b_mask.png", "b_mask_1.png"],
        "c.png": "c_mask.png",
    }
    starred = check(create_manifest(tmp_path, "{case}.png", "{case}_mask*.png"), tmp_path)
    assert starred["b.png"]["label"] == ["b_mask.png", "b_mask_1.png"]


@pytest.mark.parametrize("labels", [None, "{case}_mask.png"])
def test_a_folder_without_permission_is_no_part_that_may_be_missing(
    labels: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(tmp_path, a=SQUARE, b=SQUARE, c=SQUARE)
    closed = tmp_path / "centre B"
    closed.mkdir()
    scan = os.scandir

    def refusing(place: str) -> Any:  # as for who is not root
        if Path(place) == closed:
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=r"centre B: must be readable, .* got no permission"):
        create_manifest(tmp_path, labels and "{case}.png", labels)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_links_that_loop_and_pipes_are_nothing_to_wait_for(tmp_path: Path) -> None:
    drawn(tmp_path, a=SQUARE, b=SQUARE, c=SQUARE)
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "a.json").symlink_to("a.json")
    for name in ("b.json", "coco.json"):
        os.mkfifo(tmp_path / name)
    made = create_manifest(tmp_path, "{case}.png", "{case}_mask.png")
    assert {entry["image"] for split in SPLITS for entry in made.get(split, ())} == {"a.png", "b.png", "c.png"}


def test_pictures_without_a_lesion_are_taken_when_that_is_said(tmp_path: Path) -> None:
    drawn(tmp_path, a=SQUARE, b=SQUARE * 0, c=SQUARE, d=None)
    with pytest.raises(InputError, match=r"each image must have a label, got no mask of d.png\. If .* --allow-missing"):
        create_manifest(tmp_path)
    how = Reading(allow_missing=True)
    with pytest.raises(InputError, match=r"(?s)a label must not be empty.*b_mask.png.*--allow-empty"):
        create_manifest(tmp_path, reading=how)
    entries = check(create_manifest(tmp_path, reading=Reading(allow_missing=True, allow_empty=True)), tmp_path)
    assert {image: (entry["label"], entry.get("empty")) for image, entry in entries.items()} == {
        "a.png": ("a_mask.png", None),
        "b.png": ("b_mask.png", True),
        "c.png": ("c_mask.png", None),
        "d.png": (None, True),
    }


def test_labelme_files_become_masks(tmp_path: Path) -> None:
    drawn(tmp_path, **{"P1/f": SHAPE, "P2/f": SHAPE, "P3/f": [], "P4/f": SHAPE})
    with pytest.raises(InputError, match=r"nothing drawn on P3/f.png\. If these .* --allow-empty"):
        create_manifest(tmp_path, "{patient}/{view}.png")
    assert not (tmp_path / MASKS).exists()
    entries = check(create_manifest(tmp_path, "{patient}/{view}.png", reading=Reading(allow_empty=True)), tmp_path)
    assert entries["P1/f.png"]["label"] == "lesion_masks/P1/f.png"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "lesion_masks" / "P1" / "f.png")), SQUARE)
    assert entries["P3/f.png"]["empty"] is True
    again = check(create_manifest(tmp_path, "{patient}/{view}.png", reading=Reading(allow_empty=True)), tmp_path)
    assert again == entries  # the masks of the first time are no pictures of the second
    by_pattern = create_manifest(
        tmp_path, "{patient}/{view}.png", "{patient}/{view}.json", reading=Reading(allow_empty=True)
    )
    assert check(by_pattern, tmp_path) == entries


def test_a_coco_file_tells_pictures_and_masks(tmp_path: Path) -> None:
    drawn(tmp_path / "pictures", a=None, b=None, c=None, unlisted=None)
    images = [
        {"id": number, "file_name": f"{name}.png", "height": 20, "width": 30} for number, name in enumerate("abc")
    ]
    square = [{"image_id": number, "segmentation": [[4, 4, 10, 4, 10, 10, 4, 10]]} for number in (0, 2)]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": square, "categories": []}))
    how = Reading(allow_empty=True)
    entries = check(create_manifest(tmp_path, reading=how), tmp_path)
    assert {image: entry.get("empty") for image, entry in entries.items()} == {
        "pictures/a.png": None,
        "pictures/b.png": True,
        "pictures/c.png": None,
    }
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "lesion_masks/pictures/c.png")), SQUARE)
    assert check(create_manifest(tmp_path, None, "coco.json", reading=how), tmp_path) == entries
    (tmp_path / "pictures" / "b.png").unlink()
    with pytest.raises(
        InputError, match=r"each picture of the COCO file must be one file of the folder, got b.png \(0 files"
    ):
        create_manifest(tmp_path, reading=how)


def test_a_folder_of_two_kinds_of_labels_is_asked_about(tmp_path: Path) -> None:
    drawn(tmp_path, a=SHAPE, b=SHAPE, c=SHAPE)
    for name in "abc":
        Image.fromarray(np.roll(SQUARE, 5)).save(tmp_path / f"{name}_mask.png")
    with pytest.raises(
        InputError, match=r"must hold one kind of labels, got masks and labelme\. Say which: --labels masks"
    ):
        create_manifest(tmp_path)
    assert check(create_manifest(tmp_path, labels="masks"), tmp_path)["a.png"]["label"] == "a_mask.png"
    assert check(create_manifest(tmp_path, labels="labelme"), tmp_path)["a.png"]["label"] == "lesion_masks/a.png"
    (tmp_path / "of others").mkdir()
    (tmp_path / "of others" / "all.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(InputError, match=r"or --labels of others/all.json"):
        create_manifest(tmp_path)


@pytest.mark.parametrize(
    "choice", [Choice(threshold=128), Choice((1,)), Choice((0,))], ids=["fringes", "value", "inverted"]
)
def test_chosen_values_become_clean_masks(choice: Choice, tmp_path: Path) -> None:
    mask = {(1,): SQUARE // 255 + np.pad(np.full((2, 2), 2, np.uint8), ((0, 18), (0, 28))), (0,): 255 - SQUARE}.get(
        choice.values, SQUARE
    )
    drawn(tmp_path, a=mask, b=mask, c=mask)
    if choice.threshold:
        for name in "abc":
            (tmp_path / f"{name}_mask.png").unlink()
            Image.fromarray(SQUARE).save(tmp_path / f"{name}_mask.jpg", quality=70)
        with pytest.raises(
            InputError, match=r"must be stored without loss, got JPEG\. Make its manifest with --threshold"
        ):
            create_manifest(tmp_path)
    entries = check(create_manifest(tmp_path, reading=Reading(choice=choice)), tmp_path)
    for name in "abc":
        made = np.asarray(Image.open(tmp_path / entries[f"{name}.png"]["label"]))
        assert set(np.unique(made)) == {0, 255}
        assert (made != SQUARE).sum() <= (4 if choice.threshold else 0)


def test_made_masks_must_lie_in_the_folder_of_the_data(tmp_path: Path) -> None:
    drawn(tmp_path / "data", a=SHAPE)
    with pytest.raises(InputError, match="must be a folder inside that of the data"):
        create_manifest(tmp_path / "data", reading=Reading(masks_dir=tmp_path / "masks"))


def test_a_table_never_makes_what_the_check_refuses(tmp_path: Path) -> None:
    drawn(tmp_path, a=SQUARE, b=None, c=SQUARE, d=SQUARE)
    rows = "file,empty,spacing,patient_id,frame\na,,0.1 x 0.2,P1,\nb,true,,,\nc,0,,P1,\nd,no,0.1,,"
    (tmp_path / "t.csv").write_text(rows)
    entries = check(create_manifest(tmp_path, reading=Reading(table=tmp_path / "t.csv", key="file")), tmp_path)
    assert entries["a.png"]["spacing"] == [0.1, 0.2]
    assert entries["b.png"]["empty"] is True
    assert entries["a.png"]["patient_id"] == entries["c.png"]["patient_id"] == "P1"
    assert "patient_id" not in entries["d.png"]


def test_folds_pass_the_check_each(tmp_path: Path) -> None:
    drawn(tmp_path, **{f"{case}_{view}": SQUARE for case in range(6) for view in "lr"})
    made = create_folds(tmp_path, "{case}_{view}.png", folds=3)
    assert [len(check(each, tmp_path)) for each in made] == [12] * 3
    assert [len(each["test"]) for each in made] == [4] * 3
    picture = Image.open(tmp_path / "0_l.png")
    picture.save(tmp_path / "5_r.png")
    with pytest.raises(InputError, match=r"no (image|picture) may be in two splits"):
        create_folds(tmp_path, "{case}_{view}.png", folds=6)
