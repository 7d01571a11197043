"""Which files a batch has, what its results are called, and what becomes of bad files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from monai_lesion.datasets.image_lists import ImageList, find_images, output_names
from monai_lesion.errors import InputError, ManifestError
from tests.images import colours, lesion, write_dicom


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours()).save(path)
    return path


def test_folder_gives_its_pictures_and_dicom_files_sorted(tmp_path: Path) -> None:
    found = [picture(tmp_path / "a.png"), picture(tmp_path / "b" / "1.PNG"), picture(tmp_path / "c.jpg")]
    (tmp_path / "d").mkdir()
    found.append(write_dicom(tmp_path / "d" / "1.2.840.99", colours().tobytes(), "RGB"))
    for name in ("e.nii.gz", "f.mha"):
        (tmp_path / name).write_bytes(b"unread")
        found.append(tmp_path / name)
    for name in ("notes.txt", "data.tar.gz", "DICOMDIR", ".hidden.png"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" if name == "DICOMDIR" else b"x")
    picture(tmp_path / ".cache" / "x.png")
    assert find_images(tmp_path) == found
    assert find_images([tmp_path / "c.jpg", tmp_path]) == [tmp_path / "c.jpg", *(f for f in found if f.name != "c.jpg")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, in a process without the rights of root."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o777)
    former = os.geteuid()
    if former == 0:
        os.seteuid(65534)
    yield root
    os.seteuid(former)
    shutil.rmtree(root)


def test_what_may_not_be_opened_is_in_the_list_to_be_reported(folder: Path) -> None:
    good = picture(folder / "good.png")
    locked = [picture(folder / "a.png"), write_dicom(folder / "b", colours().tobytes(), "RGB")]
    for file in locked:
        file.chmod(0)
    closed, half = picture(folder / "closed" / "c.png").parent, picture(folder / "half" / "d.png").parent
    closed.chmod(0)
    half.chmod(0o444)
    links = [folder / "dangling.png", folder / "dangling", folder / "loop"]
    for link, target in zip(links, ("nowhere", "nowhere", "loop"), strict=True):
        link.symlink_to(target)
    expected = {good, *locked, closed, half / "d.png", *links}
    assert set(find_images(folder)) == set(find_images(folder, leave_out=folder / "out")) == expected
    reasons = ImageList(folder).failures
    half.chmod(0o777)
    closed.chmod(0o777)
    assert set(map(Path, reasons)) == expected - {good}
    said = {Path(name).name: reason.partition(", got ")[2] for name, reason in reasons.items()}
    assert said["a.png"] == said["b"] == "no permission"
    assert said["closed"] == "a folder, no permission"
    assert said["d.png"] == "Permission denied"
    assert said["dangling.png"] == said["dangling"] == "a link to nothing"
    assert "symbolic links" in said["loop"]


def test_what_is_named_itself_and_may_not_be_looked_at_ends_no_batch(folder: Path) -> None:
    good, closed = picture(folder / "good.png"), picture(folder / "closed" / "c.png").parent
    (folder / "inside.png").symlink_to(closed / "c.png")
    (folder / "loop.png").symlink_to("loop.png")
    named = [folder / "inside.png", folder / "loop.png", closed / "c.png", good]
    closed.chmod(0)
    assert find_images(named, leave_out=folder / "loop.png") == named
    reasons = ImageList(named).failures
    closed.chmod(0o777)
    assert set(map(Path, reasons)) == {*named} - {good}


def test_pipes_are_no_pictures_and_linked_folders_are_not_followed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "again").symlink_to(tmp_path)
    assert find_images(tmp_path) == [found]
    assert "again: a link to a folder is not followed" in caplog.text


def test_missing_file_stays_in_the_list_to_be_reported(tmp_path: Path) -> None:
    assert find_images([tmp_path / "gone.png"]) == [tmp_path / "gone.png"]


def test_masks_beside_their_pictures_are_left_out_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [picture(tmp_path / "1.png"), picture(tmp_path / "images" / "2.png")]
    masks = [picture(tmp_path / "1_mask.png"), picture(tmp_path / "masks" / "2.png")]
    alone = picture(tmp_path / "masks" / "3.png")
    caplog.set_level("INFO")
    assert find_images(tmp_path) == [*pictures, alone]
    assert "left out 2 masks by their name, with their picture beside them, such as 1_mask.png" in caplog.text
    assert find_images(masks) == masks
    assert find_images(tmp_path / "masks") == [masks[1], alone]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [(["*.jpg"], ["a.png", "old/b.png"]), (["old"], ["a.png", "c.jpg"]), (["old/*", "c*"], ["a.png"]), (["x"], None)],
)
def test_files_may_be_excluded(patterns: list[str], left: list[str] | None, tmp_path: Path) -> None:
    files = [picture(tmp_path / name) for name in ("a.png", "c.jpg", "old/b.png")]
    found = find_images(tmp_path, exclude=patterns)
    assert found == (files if left is None else [tmp_path / name for name in left])


@pytest.mark.parametrize("sources", [[], "folder"], ids=["no file", "empty folder"])
def test_nothing_found_is_refused(sources: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images: must name image files, or folders that contain some"):
        find_images(tmp_path if sources == "folder" else sources)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/1.png", "a/2.nii.gz", "a/3.DCM"], ["1", "2", "3"]),
        (["a/1.png", "b/1.png", "b/2.png"], ["a/1", "b/1", "2"]),
        (["a/1.png", "a/1.dcm", "a/2.png"], ["1.png", "1.dcm", "2"]),
        (["a/1.png", "a/1.dcm", "b/1.png"], ["1.png", "1.dcm", "1"]),
        (["a/A.png", "b/a.png"], ["a/A", "b/a"]),
        (["A/1.png", "a/1.png"], ["1.png", "1.png_2"]),
        (["a/A.png", "a/a.png"], ["A.png", "a.png_2"]),
        (["x/a/1.png", "y/a/1.png"], ["x/a/1", "y/a/1"]),
        (["../x/1.png", "../y/1.png"], ["x/1", "y/1"]),
        (["1.2.840.1", "1.2.840.2"], ["1.2.840.1", "1.2.840.2"]),
        ([".png"], [".png"]),
    ],
    ids=["plain", "folders", "endings", "both", "case", "folder case", "file case", "deep", "above", "uid", "dot"],
)
def test_results_have_names_of_their_own(files: list[str], names: list[str]) -> None:
    found = output_names([Path(file) for file in files])
    assert found == names
    assert len({name.casefold() for name in found}) == len(files)
    assert not any(part in ("..", "") for name in found for part in name.split("/"))


def test_naming_many_files_is_quick() -> None:
    files = [Path(f"{folder}/{number}.png") for folder in "abcd" for number in range(1000)]
    names = output_names(files)
    assert len(set(names)) == 4000
    assert names[0] == "a/0"


def test_one_bad_file_does_not_stop_the_batch_and_is_reported(tmp_path: Path) -> None:
    good = [picture(tmp_path / "1.png"), picture(tmp_path / "4.png")]
    (tmp_path / "2.png").write_text("no picture")
    (tmp_path / "3.dcm").write_bytes(b"")
    images = ImageList([tmp_path, tmp_path / "gone.png"])
    assert [entry["image"] for entry in images.entries] == [str(file) for file in good]
    assert [Path(file).name for file in images.failures] == ["2.png", "3.dcm", "gone.png"]
    with pytest.raises(InputError, match=r"(?s)3 of 5 could not be segmented:.*2\.png.*3\.dcm.*gone\.png"):
        images.report()


def test_good_batch_reports_nothing_and_a_cine_counts_as_good(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write_dicom(tmp_path / "2.dcm", colours().tobytes() * 3, "RGB", NumberOfFrames=3)
    images = ImageList(str(tmp_path))
    images.report()
    assert len(images.entries) == 2
    assert list(images.names.values()) == ["1", "2"]


def test_batch_without_a_readable_image_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "2.png").write_text("no picture")
    with pytest.raises(InputError, match="1 of 1 could not be segmented"):
        ImageList(tmp_path)


def test_text_may_name_several_files_and_a_name_may_hold_a_comma(tmp_path: Path) -> None:
    first, second, comma = (picture(tmp_path / name) for name in ("1.png", "2.png", "a, b.png"))
    assert len(ImageList(f"{first}, {second}").entries) == 2
    assert ImageList(str(comma)).entries == [{"image": str(comma)}]


def test_split_of_a_manifest_needs_no_labels(tmp_path: Path) -> None:
    file = picture(tmp_path / "1.png")
    Image.fromarray(lesion()).save(tmp_path / "unused.png")
    entry = {"case_id": "1", "view": "front", "image": "1.png", "label": "absent.png"}
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"test": [entry]}))
    assert ImageList(manifest=manifest).entries == [{"image": str(file)}]
    with pytest.raises(ManifestError, match='the split "training" must hold images'):
        ImageList(manifest=manifest, split="training")
