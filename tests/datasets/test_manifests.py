"""Every rule of a manifest, broken one at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from PIL import Image

from monai_lesion.datasets.entries import check_entries
from monai_lesion.datasets.manifests import load_manifest, read_label, read_manifest, write_manifest
from monai_lesion.errors import ManifestError
from tests.images import colours, lesion, write_dicom
from tests.openings import openings

ALL = ("training", "validation", "test")
Content = dict[str, Any]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """Five cases of two views in three splits, with their files, each image another."""
    lists: Content = {"training": [], "validation": [], "test": []}
    for case, split in enumerate(["training"] * 3 + ["validation", "test"]):
        for view in ("front", "side"):
            name = f"{case:04}_{view}"
            picture = colours()
            picture[0, 0] = case, view == "front", 0
            save(tmp_path / "images" / f"{name}.png", picture)
            save(tmp_path / "masks" / f"{name}.png", lesion())
            entry = {"case_id": f"{case:04}", "view": view}
            lists[split].append({**entry, "image": f"images/{name}.png", "label": f"masks/{name}.png"})
    return {"name": "five", "labels": {"1": "lesion"}, **lists}


def load(folder: Path, content: Any, **options: Any) -> Any:
    file = folder / "manifest.json"
    file.write_text(json.dumps(content))
    return load_manifest(file, **{"splits": ALL, **options})


def test_valid_manifest_gives_absolute_paths_and_patients(tmp_path: Path, content: Content) -> None:
    content["training"][0] |= {"device": "GE", "spacing": [0.1, 0.1], "frame": 0, "empty": False, "study_date": "2020"}
    manifest = load(tmp_path, content)
    assert manifest.name == "five"
    assert manifest.labels == {"1": "lesion"}
    assert {split: len(manifest.entries(split)) for split in ALL} == {"training": 6, "validation": 2, "test": 2}
    entry = manifest.entries("training")[0]
    assert entry["image"] == str(tmp_path / "images" / "0000_front.png")
    assert entry["label"] == str(tmp_path / "masks" / "0000_front.png")
    assert entry["patient_id"] == "0000"
    assert entry["device"] == "GE"


def test_paths_start_from_the_folder_of_the_data(tmp_path: Path, content: Content) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = write_manifest(content, tmp_path / "elsewhere" / "m.json")
    assert len(load_manifest(file, tmp_path).entries("training")) == 6
    with pytest.raises(
        ManifestError, match=r"each file must be present, got 16 that break this rule:(\n  .*){10}\n  and 6 more\n"
    ):
        load_manifest(file)
    with pytest.raises(
        ManifestError, match=r"must be the folder of the data, got no folder\. Name it with --dataset_dir"
    ):
        load_manifest(file, tmp_path / "gone")


def test_monai_reads_the_same_list(tmp_path: Path, content: Content) -> None:
    file = write_manifest(content, tmp_path / "m.json")
    for split in ALL:
        theirs = load_decathlon_datalist(str(file), True, split, str(tmp_path))
        ours = load_manifest(file, splits=ALL).entries(split)
        assert [(entry["image"], entry["label"]) for entry in theirs] == [(e["image"], e["label"]) for e in ours]


Change = Callable[[Content, Path], object]


def in_both(content: Content, key: str, value: str) -> None:
    content["training"][0][key] = value
    content["test"][1][key] = value


def copy(folder: Path, source: str, target: str) -> None:
    (folder / target).write_bytes((folder / source).read_bytes())


def cut(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])


def two_files(entry: dict[str, Any], second: str) -> None:
    entry["label"] = [entry["label"], second]


def link_outside(folder: Path, name: str) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    (folder / name).rename(outside / "moved")
    (folder / name).symlink_to(outside / "moved")


BROKEN: dict[str, tuple[Change, str]] = {
    # schema
    "list for object": (lambda c, p: c["training"].__setitem__(1, []), r"training\[1\]: list instead of an object"),
    "object for list": (lambda c, p: c.update(test={}), '"test" must be a list of entries, got dict'),
    "no case": (lambda c, p: c["training"][2].pop("case_id"), r"training\[2\]: case_id is null, not text"),
    "no label": (lambda c, p: c["test"][0].pop("label"), r"test\[0\]: label is null"),
    "case as number": (lambda c, p: c["training"][0].update(case_id=7), r"training\[0\]: case_id is 7, not text"),
    "patient as number": (lambda c, p: c["test"][0].update(patient_id=7), r"test\[0\]: patient_id is 7, not text"),
    "empty view": (lambda c, p: c["test"][0].update(view=""), r'test\[0\]: view is "", not text'),
    "label of numbers": (
        lambda c, p: c["test"][0].update(label=["a", 1]),
        r'label is \["a", 1\], not text or a list of it',
    ),
    "label of no file": (lambda c, p: c["test"][0].update(label=[]), r"label is \[\], not text or a list of it"),
    "one of two outside": (lambda c, p: c["test"][0].update(label=["a", "../b"]), r"label \.\./b is not a path inside"),
    "image list": (lambda c, p: c["test"][0].update(image=["a"]), r'test\[0\]: image is \["a"\], not text'),
    "empty as text": (lambda c, p: c["test"][0].update(empty="false"), 'empty is "false", neither true nor false'),
    "frame as text": (lambda c, p: c["test"][0].update(frame="1"), 'frame is "1", not an index from 0'),
    "frames without end": (
        lambda c, p: c["test"][0].update(frame=list(range(20000))),
        r"frame is \[0, 1, 2, [0-9, ]{1,80}\.\.\., not an index from 0",
    ),
    "frame below 0": (lambda c, p: c["test"][0].update(frame=-1), "frame is -1, not an index from 0"),
    "one spacing": (lambda c, p: c["test"][0].update(spacing=0.1), "spacing is 0.1, not the two steps"),
    "spacing of 0": (lambda c, p: c["test"][0].update(spacing=[0, 1]), r"spacing is \[0, 1\], not the two steps"),
    "absolute": (lambda c, p: c["test"][0].update(image="/etc/passwd"), "image /etc/passwd is not a path inside"),
    "climbing": (lambda c, p: c["test"][0].update(label="masks/../../x"), r"label masks/\.\./\.\./x is not a path"),
    "drive": (lambda c, p: c["test"][0].update(label="C:/x.png"), "label C:/x.png is not a path inside"),
    "backslash": (lambda c, p: c["test"][0].update(label="a\\b.png"), r"label a\\b.png is not a path .*|with /"),
    # separation
    "case in two splits": (
        lambda c, p: in_both(c, "case_id", "A"),
        "no case may be in two splits, .*\n  case_id A: te",
    ),
    "patient in two": (
        lambda c, p: in_both(c, "patient_id", "B"),
        "no patient may be in two .*\n  patient_id B: test, t",
    ),
    "twice in a split": (
        lambda c, p: c["training"].append(c["training"][1]),
        r"no image may be listed twice, .*\n  training\[6\]: images/0000_side.png is already training\[1\]",
    ),
    "twice by two paths": (
        lambda c, p: c["test"].append({**c["test"][0], "image": "images/./0004_front.png"}),
        r"no image may be listed twice, .*\n  test\[2\]",
    ),
    "bytes in two splits": (
        lambda c, p: copy(p, "images/0000_front.png", "images/0004_side.png"),
        r"no image may be in two splits, got 1 that .*:\n  images/0000_front.png \(training\) = images/0004_side",
    ),
    # files
    "image missing": (
        lambda c, p: (p / "images/0001_side.png").unlink(),
        r"must be present.*\n  training, case 0001: ",
    ),
    "label missing": (lambda c, p: (p / "masks/0004_side.png").unlink(), r"must be present.*\n  test, case 0004: "),
    "a folder": (lambda c, p: c["test"][0].update(image="images"), r"must be present.*\n  test, case 0004: "),
    "link outside": (lambda c, p: link_outside(p, "masks/0001_side.png"), "each file must be inside the data folder"),
    "folder outside": (lambda c, p: link_outside(p, "masks"), r"each file must be inside the data folder, got 10 that"),
    # labels
    "other size": (
        lambda c, p: save(p / "masks/0003_side.png", lesion().T),
        r"rows and columns of its image, .*\n  validation, case 0003: masks/0003_side.png is \(30, 20\), .*\(20, 30\)",
    ),
    "empty": (
        lambda c, p: save(p / "masks/0003_side.png", lesion() & False),
        "a label must not be empty, .*\n  validation, case 0003: masks/0003_side.png\nDraw the lesion, or",
    ),
    "one of two missing": (
        lambda c, p: two_files(c["test"][0], "masks/gone.png"),
        r"must be present.*\n  test, case 0004: ",
    ),
    "one of two of another size": (
        lambda c, p: (save(p / "masks/b.png", lesion().T), two_files(c["test"][0], "masks/b.png")),
        r"rows and columns of its image, .*\n  test, case 0004: masks/b\.png is \(30, 20\)",
    ),
    "one of two empty": (
        lambda c, p: (save(p / "masks/b.png", lesion() & False), two_files(c["test"][0], "masks/b.png")),
        r"a label must not be empty, .*\n  test, case 0004: masks/b\.png",
    ),
    "drawn and declared empty": (
        lambda c, p: c["validation"][1].update(empty=True),
        r'empty where the entry says "empty": true, .*\n  validation, case 0003: masks/0003_side.png\nTake "empty"',
    ),
    "calibration case in training": (
        lambda c, p: c.update(calibration=[{**c["training"][0], "image": "images/x.png"}]),
        r"no case may be in two splits, .*\n  case_id 0000: calibration, training",
    ),
    "calibration image in training": (
        lambda c, p: (
            copy(p, "images/0000_front.png", "images/x.png"),
            c.update(calibration=[{**c["training"][0], "image": "images/x.png", "case_id": "x"}]),
        ),
        r"no image may be in two splits, got 1 that .*:\n  images/0000_front.png \(training\) = images/x.png \(calib",
    ),
    "label cut off": (
        lambda c, p: cut(p / "masks/0000_side.png", 50),
        r"must be readable, .*\n  training, case 0000: ",
    ),
    "image cut off": (
        lambda c, p: cut(p / "images/0000_side.png", -30),
        r"must be readable, .*\n  training, case 0000: ",
    ),
    "text": (
        lambda c, p: (p / "images/0000_side.png").write_text("x"),
        r"must be readable, .*\n  training, case 0000: ",
    ),
    "coloured": (lambda c, p: save(p / "masks/0000_side.png", colours()), "a mask must be grey, got colours"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_rule_is_named_with_its_entry(kind: str, tmp_path: Path, content: Content) -> None:
    load(tmp_path, content)  # good as it stands
    change, message = BROKEN[kind]
    change(content, tmp_path)
    with pytest.raises(ManifestError, match=message) as caught:
        load(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "manifest.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{training: []}", "must be a JSON object .*, got Expecting property name .*line 1 column 2"),
        ("", "must be a JSON object .*, got Expecting value: line 1 column 1"),
        ("[]", "must be a JSON object with one of the lists training, validation, test, calibration, got list"),
        ('{"train": []}', "must be a JSON object with one of the lists .*, got the keys train"),
        (b"\xff\xfe\x00", "must be a JSON object .*, got .utf-8. codec"),
    ],
    ids=["no JSON", "empty", "list", "other keys", "binary"],
)
def test_file_that_is_no_manifest_is_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ManifestError, match=message):
        load_manifest(file)


def test_missing_manifest_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.json: the manifest must exist, got no file"):
        load_manifest(tmp_path / "gone.json")
    with pytest.raises(ManifestError, match=r"must be a JSON object .*, got a folder"):
        load_manifest(tmp_path)


def test_error_lists_ten_entries_and_counts_the_rest(tmp_path: Path) -> None:
    entries = [{"case_id": str(number), "view": "a", "image": "i.png"} for number in range(25)]
    with pytest.raises(ManifestError, match="got 25 that break this rule") as caught:
        load(tmp_path, {"training": entries})
    lines = str(caught.value).splitlines()
    assert [line for line in lines if "training[" in line] == [
        f"  training[{number}]: label is null, not text or a list of it" for number in range(10)
    ]
    assert lines[11] == "  and 15 more"


def test_files_count_only_in_the_splits_in_use(tmp_path: Path, content: Content) -> None:
    for file in tmp_path.glob("*/0004*"):
        file.unlink()
    assert len(load(tmp_path, content, splits=("training", "validation")).entries("training")) == 6
    with pytest.raises(ManifestError, match="each file must be present"):
        load(tmp_path, content, splits=("test",))
    in_both(content, "case_id", "A")  # separation counts always
    with pytest.raises(ManifestError, match="no case may be in two splits"):
        load(tmp_path, content, splits=("training", "validation"))


def test_labels_count_only_where_they_are_used(tmp_path: Path, content: Content) -> None:
    for file in tmp_path.glob("masks/*"):
        file.unlink()
    assert len(load(tmp_path, content, labels=False).entries("test")) == 2


def test_label_may_be_empty_when_declared(tmp_path: Path, content: Content) -> None:
    save(tmp_path / "masks" / "0003_side.png", lesion() & False)
    content["validation"][1]["empty"] = True
    load(tmp_path, content)


@pytest.mark.parametrize("label", [{}, {"label": None}, {"label": ""}], ids=["absent", "null", "no text"])
def test_picture_without_a_lesion_needs_no_mask_file(label: dict[str, Any], tmp_path: Path, content: Content) -> None:
    entry = content["validation"][1]
    del entry["label"]
    entry.update(empty=True, **label)
    (found,) = [one for one in load(tmp_path, content).entries("validation") if one.get("empty")]
    assert found["label"] == []
    assert not read_label(found).any()
    assert read_label(found).shape == lesion().shape
    assert "label" in load(tmp_path, content).entries("validation", shared=True)[1]


def test_label_of_several_files_is_their_union(tmp_path: Path, content: Content) -> None:
    other = np.roll(lesion(), 3, axis=1)
    save(tmp_path / "masks" / "b.png", other)
    two_files(content["training"][0], "masks/b.png")
    first, second = load(tmp_path, content).entries("training")[:2]
    assert first["label"] == [str(tmp_path / "masks" / "0000_front.png"), str(tmp_path / "masks" / "b.png")]
    np.testing.assert_array_equal(read_label(first), lesion() | other)
    np.testing.assert_array_equal(read_label(second), lesion())
    theirs = load_decathlon_datalist(str(tmp_path / "manifest.json"), True, "training", str(tmp_path))
    assert theirs[0]["label"] == first["label"]


def test_calibration_is_a_list_like_the_others(tmp_path: Path, content: Content) -> None:
    content["calibration"] = content["training"][4:]
    content["training"] = content["training"][:4]
    assert len(load(tmp_path, content, splits=[*ALL, "calibration"]).entries("calibration")) == 2
    (tmp_path / "images" / "0002_side.png").unlink()
    load(tmp_path, content)
    with pytest.raises(ManifestError, match=r"each file must be present, .*\n  calibration, case 0002: "):
        load(tmp_path, content, splits=["calibration"])


def test_content_is_read_without_its_files(tmp_path: Path, content: Content) -> None:
    file = write_manifest({key: value for key, value in content.items() if key != "name"}, tmp_path / "x" / "mine.json")
    assert read_manifest(file) == {**content, "name": "mine"}
    in_both(content, "case_id", "A")
    write_manifest(content, file)
    with pytest.raises(ManifestError, match="no case may be in two splits"):
        read_manifest(file)


def test_frames_of_one_cine_are_images_of_their_own(tmp_path: Path, content: Content) -> None:
    frames = b"".join(bytes([frame]) * colours().size for frame in range(5))
    write_dicom(tmp_path / "images" / "cine.dcm", frames, "RGB", NumberOfFrames=5)
    first = {**content["training"][0], "image": "images/cine.dcm"}
    content["training"][0:1] = [{**first, "frame": 0}, {**first, "frame": 4}]
    assert len(load(tmp_path, content).entries("training")) == 7
    content["training"][0]["frame"] = 5
    with pytest.raises(ManifestError, match=r"(?s)must be in its file.*frame 5 of .*cine\.dcm, which has 5"):
        load(tmp_path, content)


def test_same_bytes_within_a_split_and_equal_sizes_in_two_are_allowed(tmp_path: Path, content: Content) -> None:
    copy(tmp_path, "images/0000_front.png", "images/0001_front.png")
    for number, split in enumerate(("training", "test")):  # BMP: equal sizes, other bytes
        entry = content[split][0]
        entry["image"] = f"images/{split}.bmp"
        save(tmp_path / entry["image"], np.full((20, 30), number, np.uint8))
    load(tmp_path, content)


def test_linked_data_folder_and_links_within_it_are_allowed(tmp_path: Path, content: Content) -> None:
    (tmp_path / "masks" / "0000_side.png").unlink()
    (tmp_path / "masks" / "0000_side.png").symlink_to(tmp_path / "masks" / "0000_front.png")
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    assert load(tmp_path, content, dataset_dir=link).entries("test")[0]["image"].startswith(str(link))


def test_entries_of_a_split_that_is_absent_or_empty_are_refused(tmp_path: Path, content: Content) -> None:
    content["test"] = []
    manifest = load(tmp_path, content)
    for split in ("test", "train"):
        with pytest.raises(
            ManifestError, match=rf'the split "{split}" must hold images, got the splits training \(6\)'
        ):
            manifest.entries(split)


def test_progress_sees_every_entry_in_use(tmp_path: Path, content: Content) -> None:
    seen: list[str] = []

    def progress(entries: Iterable[Any]) -> Iterable[Any]:
        for split, entry in entries:
            seen.append(split)
            yield split, entry

    load(tmp_path, content, splits=("training", "test"), progress=progress)
    assert seen == (["training"] * 6 + ["test"] * 2) * 2  # for headers and masks, then for pixels


def test_manifest_comes_back_as_it_was_written(tmp_path: Path, content: Content) -> None:
    content |= {"reference": "Gómez", "test": []}
    file = write_manifest(content, tmp_path / "new" / "m.json")
    assert json.loads(file.read_text(encoding="utf-8")) == content
    assert len(file.read_text(encoding="utf-8").splitlines()) == 18  # 8 entries, 2 ends of lists, 6 keys, 2 braces
    assert [path.name for path in file.parent.iterdir()] == ["m.json"]


@pytest.mark.parametrize("fault", ["content", "disk"])
def test_failed_write_leaves_the_old_manifest_alone(
    fault: str, tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    file = write_manifest(content, folder / "m.json")
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    if fault == "disk":
        monkeypatch.setattr("monai_lesion.files.os.replace", full)
    else:
        content["training"][0]["case_id"] = object()
    with pytest.raises((OSError, TypeError)):
        write_manifest(content, file)
    assert file.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["m.json"]


def test_what_only_some_entries_have_can_be_left_out_for_a_loader(tmp_path: Path, content: Content) -> None:
    content["training"][0]["centre"] = "A"
    for entry in content["training"]:
        entry["device"] = "B"
    manifest = load(tmp_path, content)
    assert manifest.entries("training")[0]["centre"] == "A"
    shared = manifest.entries("training", shared=True)
    assert all("centre" not in entry and entry["device"] == "B" for entry in shared)
    assert {frozenset(entry) for entry in shared} == {frozenset(manifest.entries("training")[1])}


def in_manifest(tmp_path: Path, **columns: Any) -> Path:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 9), 9, np.uint8)).save(tmp_path / folder / "a.png")
    entry = {"case_id": "a", "view": "x", "image": "images/a.png", "label": "masks/a.png", **columns}
    (tmp_path / "m.json").write_text(json.dumps({"training": [entry]}))
    return tmp_path / "m.json"


@pytest.mark.parametrize("text", ["Infinity", "1e999", "NaN"])
def test_an_infinite_spacing_is_refused(text: str, tmp_path: Path) -> None:
    file = in_manifest(tmp_path, spacing=[1, "HERE"])
    file.write_text(file.read_text().replace('"HERE"', text))
    with pytest.raises(ManifestError, match="not finite"):
        load_manifest(file)
    content = {"training": [{**json.loads(in_manifest(tmp_path).read_text())["training"][0], "spacing": [1, math.inf]}]}
    with pytest.raises(ManifestError, match=r"spacing is .*, not the two steps"):
        check_entries(file, content)


def test_a_picture_has_one_frame(tmp_path: Path) -> None:
    load_manifest(in_manifest(tmp_path, frame=0), splits=["training"])
    with pytest.raises(ManifestError, match=r"(?s)frame must be in its file.*frame 1 of images/a\.png, which has 1"):
        load_manifest(in_manifest(tmp_path, frame=1), splits=["training"], labels=False)


def test_thousands_of_frames_of_one_picture_are_refused_before_any_is_read(tmp_path: Path) -> None:
    file = in_manifest(tmp_path)
    entry = json.loads(file.read_text())["training"][0]
    file.write_text(json.dumps({"training": [{**entry, "frame": number} for number in range(3000)]}))
    with openings(tmp_path / "images" / "a.png") as opened:
        with pytest.raises(ManifestError, match="got 2999 that break"):
            load_manifest(file, splits=["training"])
        assert opened.count == 1


def test_no_frame_and_frame_0_are_the_same_image(tmp_path: Path) -> None:
    file = in_manifest(tmp_path)
    entry = json.loads(file.read_text())["training"][0]
    file.write_text(json.dumps({"training": [entry, {**entry, "frame": 0}]}))
    with pytest.raises(ManifestError, match="listed twice"):
        read_manifest(file)


def test_names_of_a_manifest_cannot_move_the_cursor(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(in_manifest(tmp_path, image="a\x1b[2J\nerror: all is well"), splits=["training"])
    assert "\x1b" not in str(caught.value)
    assert "\nerror" not in str(caught.value)
