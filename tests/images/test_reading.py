"""A file is opened once, whatever is asked of it, and a picture keeps the header that it was read with."""

from __future__ import annotations

import gc
import pickle
import warnings

import numpy as np
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images import dicom_headers
from monai_lesion.images.reading import ImageFile, UltrasoundImage, frame_count, image_size, opened, read_image
from tests.images import colours, write_dicom
from tests.images.test_dicom_files import deflated
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
