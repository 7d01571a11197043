"""Files of a result: all of what was asked for or nothing, and geometry that says what the measurements say."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_lesion.errors import InputError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.readers import read_mask
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.segmentation.results import Segmentation
from tests.segmentation.pictures import red

FINE, COARSE = Region(0, 0, 20, 15, (0.2, 0.1)), Region(0, 15, 20, 30, (0.5, 0.4))


def result(calibration, columns, *, spacing=None, path="", geometry=None):
    """A lesion in some of the columns of a picture."""
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, columns] = 1
    pixels = np.zeros((20, 30, 3), np.uint8)
    image = UltrasoundImage(pixels, spacing, path, geometry=geometry, calibration=calibration)
    return Segmentation(image, mask, mask.astype(np.float32))


@pytest.mark.parametrize("name", ["../a", "b/../../a", "/tmp/a", ".", "./"])
def test_a_name_stays_in_the_folder(name, tmp_path):
    with pytest.raises(InputError, match=r"name: must stay in the folder, got"):
        result(Calibration(None, "none"), slice(5, 9)).save(tmp_path / "out", name=name)
    assert not list(tmp_path.rglob("*.png"))


def test_a_file_named_for_a_folder_is_refused_with_what_was_meant(tmp_path):
    with pytest.raises(
        InputError, match=r'must be a folder, got the name of a file. For .* save\(".*out", name="mask"\)'
    ):
        result(Calibration(None, "none"), slice(5, 9)).save(tmp_path / "out" / "mask.png", name="a")
    assert not list(tmp_path.iterdir())


def test_formats_may_be_words_with_commas_as_on_the_command_line(tmp_path):
    files = result(Calibration(None, "none"), slice(5, 9)).save(tmp_path, "png, json", name="a")
    assert [file.name for file in files] == ["a.png", "a.json"]


def steps(found, folder):
    """Row and column step of the NIfTI mask."""
    (file,) = found.save(folder, ["nifti"], name="a")
    column, row = nibabel.load(file).header.get_zooms()[:2]
    return float(row), float(column)


@pytest.mark.parametrize(("columns", "step"), [(slice(2, 12), (0.2, 0.1)), (slice(18, 28), (0.5, 0.4))])
def test_nifti_has_the_scale_of_the_region_that_holds_the_lesion(tmp_path, columns, step):
    found = result(Calibration(None, "none", (FINE, COARSE)), columns)
    assert found.spacing == step
    assert steps(found, tmp_path) == pytest.approx(step)


def test_nifti_of_a_lesion_across_the_regions_is_in_pixels_like_its_sizes(tmp_path):
    same = Region(0, 15, 20, 30, FINE.spacing)
    found = result(Calibration(FINE.spacing, "mm", (FINE, same)), slice(10, 20), spacing=FINE.spacing)
    assert found.measurements.area.unit == "px2"
    assert steps(found, tmp_path) == (1, 1)


def test_nifti_of_a_picture_with_a_geometry_keeps_it(tmp_path):
    geometry = np.diag([3.0, 2.0, 1.0, 1.0])
    assert steps(result(Calibration((2.0, 3.0), "mm"), slice(2, 5), geometry=geometry), tmp_path) == (2, 3)


@pytest.mark.parametrize("kind", ["dicom-seg", "dicom-sr", "sc"])
def test_nothing_is_written_when_one_format_cannot_be_made(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(200))
    found = result(Calibration(), slice(2, 5), path=str(tmp_path / "a.png"))
    with pytest.raises(InputError, match=f"a.png: {kind} needs a DICOM file as source"):
        found.save(tmp_path / "out", ["png", "json", kind])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("regions", "depth"),
    [
        ((Region(3, 0, 20, 30, (0.2, 0.1)),), (1 * 0.2, "mm")),
        ((Region(3, 0, 20, 30),), (1, "px")),
        ((Region(0, 0, 20, 30, (0.2, 0.1)), Region(3, 0, 20, 30, (0.2, 0.1))), (1 * 0.2, "mm")),
        ((Region(3, 5, 20, 30, (0.2, 0.1)),), (4, "px")),  # the lesion crosses its border
        ((Region(3, 0, 20, 30, (0.2, 0.1)), Region(0, 0, 20, 30, (0.2, 0.1), inside=False)), (4, "px")),
        ((), (4, "px")),
    ],
    ids=["below a banner", "no scale", "the smaller of two", "across its border", "not believed", "no region"],
)
def test_depth_begins_where_the_region_around_the_lesion_does(regions, depth):
    found = result(Calibration(None, "none", regions), slice(2, 12)).measurements.depth
    assert (found.value, found.unit) == (pytest.approx(depth[0]), depth[1])


def test_saved_files_hold_the_mask(segmenter, tmp_path):
    picture, mask = red()
    Image.fromarray(picture).save(tmp_path / "a.b.png")
    files = segmenter(tmp_path / "a.b.png").save(tmp_path / "out", ["png", "nifti", "json", "overlay"])
    assert [file.name for file in files] == ["a.b.png", "a.b.nii.gz", "a.b.json", "a.b_overlay.png"]
    np.testing.assert_array_equal(read_mask(files[0]), mask)
    np.testing.assert_array_equal(np.asarray(nibabel.load(files[1]).dataobj).T.squeeze(), mask)
    content = json.loads(files[2].read_text())
    assert (content["rows"], content["columns"], content["found"]) == (48, 80, True)
    assert content["measurements"]["area"] == {"value": float(mask.sum()), "unit": "px2"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)


def test_dicom_objects_of_a_dicom_source_hold_the_mask_and_the_weights(segmenter, tmp_path):
    hd = pytest.importorskip("highdicom", reason="the DICOM writers need highdicom")
    case = simulate_case(0, 0)
    write_dicom(tmp_path / "a.dcm", case, case.views[0], seed=0)
    result = segmenter(tmp_path / "a.dcm")
    files = result.save(tmp_path / "out", ["dicom-seg", "dicom-sr", "sc"])
    assert [file.name for file in files] == ["a.seg.dcm", "a.sr.dcm", "a.sc.dcm"]
    written = hd.seg.segread(files[0])
    np.testing.assert_array_equal(written.pixel_array > 0, result.mask > 0)
    description = str(written.SegmentSequence[0].SegmentAlgorithmName) + str(written)
    assert segmenter.algorithm.weights[:12] in description


def test_dicom_objects_of_a_png_are_refused(segmenter, tmp_path):
    Image.fromarray(red()[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a.png: dicom-seg needs a DICOM file as source.*Ask for png"):
        segmenter(tmp_path / "a.png").save(tmp_path / "out", ["dicom-seg"])


def test_nothing_found_is_said_and_has_no_sizes(segmenter, tmp_path):
    result = segmenter(np.full((30, 40), 20, np.uint8))
    assert not result.measurements
    assert f"{result.measurements.long_axis}" == "none"
    assert np.isnan(float(result.measurements.area))
    (file,) = result.save(tmp_path, ["json"], name="none")
    assert json.loads(file.read_text())["found"] is False


def test_rejects_an_unknown_format_before_it_writes(segmenter, tmp_path):
    with pytest.raises(
        InputError, match="formats: must be one of png, nifti, json, overlay, dicom-seg, dicom-sr, sc, got dcm"
    ):
        segmenter(red()[0]).save(tmp_path / "out", ["png", "dcm"], name="a")
    assert not (tmp_path / "out").exists()


def test_a_result_never_replaces_its_picture(tmp_path):
    picture = tmp_path / "1.png"
    Image.new("L", (30, 20)).save(picture)
    before = picture.read_bytes()
    found = result(Calibration(), slice(2, 5), path=str(picture))
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"1\.png: must not be a picture that is segmented"):
            found.save(tmp_path, ["json", "png"], overwrite=overwrite)
    assert picture.read_bytes() == before
    assert list(tmp_path.iterdir()) == [picture]


def test_an_earlier_result_is_replaced_only_when_asked(tmp_path):
    first, second = (result(Calibration(), slice(2, stop), path=f"{stop}/a.png") for stop in (5, 9))
    (file,) = first.save(tmp_path)
    with pytest.raises(InputError, match=r"a\.png: must not exist yet.*overwrite=True, another name="):
        second.save(tmp_path, ["json", "png"])
    assert list(tmp_path.iterdir()) == [file]
    second.save(tmp_path, overwrite=True)
    np.testing.assert_array_equal(np.asarray(Image.open(file)) > 0, second.mask > 0)


def test_a_picture_of_no_file_needs_a_name(tmp_path):
    with pytest.raises(InputError, match="name: must be given"):
        result(Calibration(), slice(2, 5)).save(tmp_path)
    (file,) = result(Calibration(), slice(2, 5)).save(tmp_path, "json", name="sub/front")
    assert file == tmp_path / "sub" / "front.json"


def test_frames_of_one_file_have_names_of_their_own(tmp_path):
    pixels, mask = np.zeros((20, 30, 3), np.uint8), np.ones((20, 30), np.uint8)
    for frame in (0, 12):
        found = Segmentation(UltrasoundImage(pixels, None, "a.dcm", frame), mask, mask.astype(np.float32))
        found.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_f0000.png", "a_f0012.png"]


def test_a_result_is_shown_in_one_line():
    found = result(Calibration((0.5, 0.5), "mm"), slice(2, 12), path="folder/a.png")
    assert repr(found) == "<a.png, 20 x 30: long axis 5.4 mm, short axis 2.7 mm, area 12.5 mm²>"
    assert repr(result(Calibration(), slice(0, 0))) == "<picture, 20 x 30: no lesion>"
    assert len(repr(found.image)) < 500
    assert "area=12.5 mm²" in repr(found.measurements)
    assert "\n" not in repr(found.measurements)


class Tags(HTMLParser):
    """The tags that are open, and those that were."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("columns", [slice(2, 12), slice(0, 0)], ids=["a lesion", "none"])
def test_a_notebook_shows_picture_and_sizes_and_no_code_of_a_file_name(columns):
    text = result(Calibration(), columns, path="a/<script>.png")._repr_html_()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("img") == 1
    assert "script" not in tags.seen
    assert "http" not in text
    assert ("long axis" in text) == (columns.stop > 0)


def test_plot_draws_on_the_axes_that_it_is_given():
    figure = pytest.importorskip("matplotlib.figure", reason="Matplotlib is in the extra study").Figure()
    axes = figure.subplots()
    assert result(Calibration(), slice(2, 12), path="a.png").plot(axes) is axes
    assert axes.get_title().splitlines() == ["a.png", "long axis 10.8 px, short axis 5.4 px, area 50.0 px²"]
    assert len(axes.lines) == 2
    assert not result(Calibration(), slice(0, 0)).plot(figure.subplots()).lines


def test_the_dictionary_is_json():
    for columns in (slice(2, 12), slice(0, 0)):
        facts = result(Calibration((0.5, 0.5), "mm"), columns).to_dict()
        assert json.loads(json.dumps(facts, allow_nan=False))["found"] == (columns.stop > 0)
