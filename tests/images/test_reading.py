"""A file is opened once, whatever is asked of it, and a picture keeps the header that it was read with."""

from __future__ import annotations

import gc
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images import dicom_headers
from monai_lesion.images.reading import (
    ImageFile,
    UltrasoundImage,
    frame_count,
    image_size,
    opened,
    read_image,
    read_mask,
    read_masks,
)
from tests.images import COLUMNS, ROWS, colours, greys, write_dicom, write_png
from tests.images.dicom_pictures import deflated
from tests.images.files import SIZE, bad_masks, rows_of
from tests.openings import openings


@pytest.fixture
def cine(tmp_path):
    file = tmp_path / "cine.dcm"
    return write_dicom(file, colours().tobytes() * 3, "RGB", NumberOfFrames=3, PatientName="Doe^Jane")


def test_one_opening_serves_header_count_size_and_every_frame(cine):
    with openings(cine) as found, ImageFile(cine) as file:
        assert (file.frames, file.size, str(file.header.PatientName)) == (3, colours().shape[:2], "Doe^Jane")
        for number in range(3):
            np.testing.assert_array_equal(read_image(file, frame=number).pixels, colours())
        assert found.count == 1


@pytest.mark.parametrize("read", [lambda file: read_image(file, frame=1), frame_count, image_size])
def test_each_reader_opens_the_file_once(cine, read):
    with openings(cine) as found:
        read(cine)
        assert found.count == 1


def test_a_deflated_file_is_opened_once_and_its_content_is_not_kept(tmp_path):
    plain = write_dicom(tmp_path / "plain.dcm", colours().tobytes(), "RGB")
    file = deflated(tmp_path / "deflated.dcm", plain.read_bytes())
    with openings(file) as found:
        image = read_image(file)
        assert found.count == 1
    np.testing.assert_array_equal(image.pixels, colours())
    assert len(pickle.dumps(image.header)) < colours().nbytes + 5000
    assert getattr(image.header, "buffer", None) is None


def test_frames_of_a_cine_share_one_header_without_pixels(cine):
    with ImageFile(cine) as file:
        one, other = (file.read(number) for number in (0, 2))
    assert one.header is other.header
    assert "PixelData" not in one.header


def test_a_picture_goes_through_pickle_with_its_header_and_is_not_shown_with_it(cine):
    image = read_image(cine, frame=2)
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.header == image.header
    assert (again.frame, again.path) == (2, str(cine))
    assert "Doe" not in repr(image)


def test_the_header_takes_no_part_in_a_comparison(cine):
    pixels = read_image(cine, frame=0).pixels
    known = {"pixels": pixels, "spacing": None, "path": "a"}
    assert UltrasoundImage(**known) == UltrasoundImage(**known, header=read_image(cine, frame=0).header)


def test_other_pictures_have_no_header(tmp_path):
    from PIL import Image

    Image.fromarray(colours()).save(tmp_path / "a.png")
    with ImageFile(tmp_path / "a.png") as file:
        assert (file.header, file.frames, file.is_dicom) == (None, 1, False)
        assert file.read().header is None


def test_no_file_stays_open(cine, tmp_path):
    (tmp_path / "text").write_text("no picture")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        read_image(cine, frame=0)
        frame_count(cine)
        with pytest.raises(ImageError):
            read_image(tmp_path / "text")
        gc.collect()
    assert [each for each in told if issubclass(each.category, ResourceWarning)] == []


def test_who_opened_a_file_closes_it(cine):
    with ImageFile(cine) as file:
        with opened(file) as same:
            assert same is file
        assert file.read(1).frame == 1


def test_an_inflated_file_is_bounded_for_whoever_asks_for_the_header(tmp_path, monkeypatch):
    plain = write_dicom(tmp_path / "plain.dcm", colours().tobytes(), "RGB")
    file = deflated(tmp_path / "deflated.dcm", plain.read_bytes())
    monkeypatch.setattr(dicom_headers, "MAX_INFLATED", 100)
    with ImageFile(file) as source, pytest.raises(ImageError, match="must have at most 100 bytes inflated"):
        source.header  # noqa: B018  it is read when it is asked for


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("colours", "a mask must be grey, got colours"),
        ("two colours of a palette", "a mask must be grey, got colours"),
        ("colour nifti", "a mask must be grey, got colours"),
        ("opacity alone", "must be drawn in grey, got black of differing opacity. Save its opacity as a grey picture"),
        ("jpeg", "a mask must be stored without loss, got JPEG"),
        ("several slices", "must hold one slice"),
    ],
)
def test_what_is_no_mask_is_refused(kind: str, rule: str, tmp_path: Path) -> None:
    file = bad_masks(tmp_path, kind)
    with pytest.raises(ImageError, match=rule) as caught:
        read_mask(file)
    assert str(file) in str(caught.value)


def bad_images(folder: Path, kind: str) -> Path:
    whole = write_png(folder / "whole.png", 8, 2, rows_of(np.random.default_rng(0).permuted(colours())), SIZE)
    file = folder / "bad.png"
    if kind == "a folder":
        file.mkdir()
    elif kind != "missing":
        content = {
            "empty": b"",
            "text": b"this is no picture\n" * 20,
            "cut off": whole.read_bytes()[: whole.stat().st_size // 2],
            "without size": whole.read_bytes()[:20],
            "of no width": whole.read_bytes()[:16] + b"\0\0\0\0" + whole.read_bytes()[20:],
        }[kind]
        file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("missing", "must be an existing file, got no such file"),
        ("a folder", "must be an existing file, got a folder"),
        ("empty", "must not be empty, got 0 bytes"),
        ("text", "must be a readable picture or DICOM file, got no known format"),
        ("cut off", "must be a readable picture or DICOM file, got .*truncated"),
        ("without size", "must be a readable picture or DICOM file"),
        ("of no width", "must be a readable picture or DICOM file"),
    ],
)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_bad_picture_names_file_and_rule(read: object, kind: str, rule: str, tmp_path: Path) -> None:
    file = bad_images(tmp_path, kind)
    with pytest.raises(ImageError, match=rule) as caught:
        read(file)  # type: ignore[operator]
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "a folder", "empty", "text", "without size", "cut off"])
def test_size_of_a_bad_picture_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"bad\.png: must"):
        image_size(bad_images(tmp_path, kind), whole=True)


def test_frame_of_a_single_picture_must_be_0(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    assert read_image(file, frame=0).frame is None
    with pytest.raises(ImageError, match="frame must be 0 for a single picture, got 3"):
        read_image(file, frame=3)


def test_masks_of_two_sizes_have_no_union(tmp_path: Path) -> None:
    first = write_png(tmp_path / "a.png", 8, 0, rows_of(greys()), SIZE)
    second = write_png(tmp_path / "b.png", 8, 0, rows_of(greys()[:, 1:]), (ROWS, COLUMNS - 1))
    with pytest.raises(ImageError, match=r"b\.png: must have the size of .*a\.png, \(20, 30\), got \(20, 29\)"):
        read_masks([first, second])
    with pytest.raises(ImageError, match="the mask: must be at least one file, got none"):
        read_masks([])
