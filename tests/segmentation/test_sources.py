"""Whatever a picture comes as, it gives what its file gives; what is no picture is refused in words."""

from __future__ import annotations

import io
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.encaps import encapsulate

from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.reading import ImageFile, read_image
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.segmentation.segmenters import Segmenter
from monai_lesion.segmentation.tables import ResultTable
from tests.images import COLUMNS, ROWS
from tests.images import write_dicom as write_frames
from tests.images.dicom_pictures import JPEG_BASELINE, compressed


class Bright(Segmenter):
    """What is bright is lesion."""

    crop = False
    settings = MappingProxyType({})
    algorithm = Algorithm("bright", "1", "0")

    def find(self, image):
        mask = (image.pixels[..., 0] > 127).astype(np.uint8)
        return mask, mask.astype(np.float32)


@pytest.fixture
def segmenter():
    return Bright()


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize(
    ("name", "told"),
    [("https://a.example/b.png", "Copy it to this"), ("{}/*.png", "Name the folder")],
    ids=["web", "star"],
)
def test_what_only_looks_like_a_file_is_told_so(name, told, segmenter, tmp_path):
    with pytest.raises(ImageError, match=rf"must be an existing file, got no such file. {told}"):
        segmenter(name.format(tmp_path))


def test_a_list_of_files_goes_on_after_a_bad_one(segmenter, picture, tmp_path):
    results = segmenter([tmp_path / "gone.png", picture, str(picture)])
    assert [next(results).image.path, next(results).image.path] == [str(picture)] * 2
    with pytest.raises(InputError, match=r"1 of 3 could not be segmented:\n  .*gone.png"):
        next(results)
    table = ResultTable(segmenter([tmp_path / "gone.png", picture]))
    assert [row["image"] for row in table] == ["a.png", "gone.png"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    case = simulate_case(0, 0)
    file = tmp_path_factory.mktemp("scan") / "a.dcm"
    write_dicom(file, case, case.views[0], seed=0)
    return file


FORMS = {
    "text": str,
    "bytes": Path.read_bytes,
    "bytearray": lambda file: bytearray(file.read_bytes()),
    "open file": lambda file: file.open("rb"),
    "bytes in memory": lambda file: io.BytesIO(file.read_bytes()),
    "image file": ImageFile,
    "image": read_image,
}


@pytest.mark.parametrize("form", [*FORMS.values(), Image.open, lambda file: np.asarray(Image.open(file))])
def test_a_picture_is_the_same_in_each_form(segmenter, picture, form):
    expected = read_image(picture).pixels
    np.testing.assert_array_equal(segmenter(form(picture)).image.pixels, expected)
    (among_others,) = segmenter([form(picture)])
    np.testing.assert_array_equal(among_others.image.pixels, expected)


@pytest.mark.parametrize("form", [*FORMS.values(), pydicom.dcmread])
def test_a_dicom_image_keeps_its_millimetres_and_its_header_in_each_form(segmenter, scan, form):
    expected, found = segmenter(scan), segmenter(form(scan))
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.spacing == expected.spacing is not None
    assert found.image.header.SOPInstanceUID == pydicom.dcmread(scan).SOPInstanceUID


def test_dicom_objects_are_made_of_a_data_set_too(segmenter, scan, tmp_path):
    pytest.importorskip("highdicom", reason="the DICOM writers need highdicom")
    dataset = pydicom.dcmread(scan)
    (file,) = segmenter(dataset).save(tmp_path, "dicom-seg", name="a")
    assert pydicom.dcmread(file).ReferencedSeriesSequence[0].SeriesInstanceUID == dataset.SeriesInstanceUID
    assert "PixelData" in dataset


def test_the_frames_of_a_cine_come_one_by_one_from_memory_too(segmenter, tmp_path):
    write_frames(tmp_path / "a.dcm", bytes(3 * ROWS * COLUMNS), "MONOCHROME2", NumberOfFrames=3)
    content = (tmp_path / "a.dcm").read_bytes()
    assert [result.image.frame for result in segmenter(content)] == [0, 1, 2]
    assert segmenter(content, frame=1).image.frame == 1


@pytest.mark.parametrize("form", [Path.read_bytes, lambda file: file.open("rb"), ImageFile, pydicom.dcmread])
@pytest.mark.parametrize("frames", [1, 3])
def test_compressed_dicom_comes_from_memory_too(segmenter, tmp_path, form, frames):
    file = tmp_path / "a.dcm"
    parts = compressed(frames, format="JPEG", quality=95)
    facts = {"NumberOfFrames": frames} if frames > 1 else {}
    write_frames(file, encapsulate(parts), "YBR_FULL_422", syntax=JPEG_BASELINE, **facts)
    found = segmenter(form(file), frame=frames - 1)
    np.testing.assert_array_equal(found.image.pixels, read_image(file, frame=frames - 1).pixels)


@pytest.mark.parametrize("frame", ["1", 1.0, True, -1], ids=repr)
def test_a_frame_is_a_whole_number(segmenter, scan, picture, frame):
    for source in (scan, picture):
        with pytest.raises(InputError, match="frame must be"):
            segmenter(source, frame=frame)


def test_several_pictures_hold_no_lists(segmenter, picture):
    with pytest.raises(InputError, match=r"must be a path, .* got a list among several"):
        list(segmenter([[1, 2], picture]))


def test_a_turned_photo_is_turned_whether_it_comes_as_file_or_as_image(segmenter, tmp_path):
    photo, exif = Image.new("RGB", (30, 20)), Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").pixels.shape == (30, 20, 3)
    assert segmenter(Image.open(tmp_path / "a.jpg")).mask.shape == (30, 20)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (torch.zeros(3, 8, 8), r"a tensor of torch.float32 \(3, 8, 8\).*permute"),
        ([torch.zeros(3, 8, 8)], "a tensor"),
        (7, "a path, a folder, an open file, bytes, an array.* got int"),
        (None, "got NoneType"),
        ({"image": "a.png"}, "got dict"),
        ([None], "got NoneType"),
        (io.StringIO("a.png"), r"open for bytes, got a text file.*rb"),
        (b"", "must not be empty"),
        (b"nothing", "must be a readable picture or DICOM file"),
        (b"NRRD0004", "got NIfTI, NRRD or MHA. Save it"),
        (pydicom.Dataset(), "a Dataset must be complete"),
    ],
    ids=["tensor", "tensors", "number", "none", "dict", "nones", "text", "empty", "junk", "volume", "data set"],
)
def test_what_is_no_picture_is_refused_in_words(segmenter, source, words):
    with pytest.raises((InputError, ImageError), match=f"source: .*{words}"):
        list(segmenter(source))


def test_a_folder_is_taken_as_the_command_line_takes_it(segmenter, tmp_path):
    for name in ("b/1.png", "a/1.png", "a/2.png", "a/.hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (30, 20)).save(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("none")
    write_frames(tmp_path / "c.dcm", bytes(2 * ROWS * COLUMNS), "MONOCHROME2", NumberOfFrames=2)
    results = list(segmenter(tmp_path))
    assert [result.file_name for result in results] == ["a/1", "2", "b/1", "c_f0000", "c_f0001"]
    for result in segmenter([tmp_path]):
        result.save(tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5


def test_a_bad_file_of_a_folder_is_named_at_the_end(segmenter, tmp_path):
    for name in ("1.png", "3.png"):
        Image.new("L", (30, 20)).save(tmp_path / name)
    (tmp_path / "2.png").write_bytes(b"nothing")
    results = segmenter(tmp_path)
    assert [next(results).file_name for _ in range(2)] == ["1", "3"]
    with pytest.raises(InputError, match=r"(?s)1 of 3 could not be segmented.*2\.png"):
        next(results)
    assert [Path(file).name for file in results.failures] == ["2.png"]


def test_a_table_of_a_folder_has_a_line_for_a_bad_file(segmenter, tmp_path):
    from monai_lesion import ResultTable

    Image.new("L", (30, 20)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"nothing")
    table = ResultTable(segmenter(tmp_path))
    assert [(row["image"], row["error"] is None) for row in table] == [("1.png", True), ("2.png", False)]
