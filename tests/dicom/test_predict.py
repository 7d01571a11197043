"""What `monai-lesion predict` makes of a DICOM file: the crop, the type of SEG, a report that knows its SEG."""

from __future__ import annotations

import json
from copy import deepcopy

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from typer.testing import CliRunner

from monai_lesion.commands import app as cli
from monai_lesion.dicom import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.images.overlays import draw_overlay
from monai_lesion.images.readers import read_image, read_mask
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.steps import Steps
from monai_lesion.segmentation.results import Segmentation
from tests.dicom import CINE, SHAPE, SPACING, WEIGHTS, ellipse_mask, make_source
from tests.openings import openings

hd = pytest.importorskip("highdicom", reason="the writers need highdicom")

TOP, LEFT, BOTTOM, RIGHT = 7, 11, 39, 52  # of the tissue; BOTTOM and RIGHT are the last row and column


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder whose network takes all that it is shown for a lesion."""
    folder, network = tmp_path_factory.mktemp("model"), LighterUNet(group_size=1, width=0.0625).eval()
    network.head.bias.data += 50  # of the logit
    write_model_folder(network, folder, steps=Steps((32, 32)))
    return folder


@pytest.fixture
def source(tmp_path):
    """A picture whose tissue is shown in a part of it, calibrated there."""
    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = LEFT, TOP
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = RIGHT, BOTTOM
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = SPACING[1] / 10, SPACING[0] / 10
    return make_source(tmp_path, SequenceOfUltrasoundRegions=[region])


def predict(source, output, model, *options):
    arguments = ["predict", source, "--output", output, "--bundle", model, *options]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.exception
    return output / "source"


def tissue():
    inside = np.zeros(SHAPE, bool)
    inside[TOP : BOTTOM + 1, LEFT : RIGHT + 1] = True
    return inside


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="picture", marks=pytest.mark.slow),
        pytest.param({"SOPClassUID": CINE, "NumberOfFrames": 3}, id="cine"),
    ],
)
def test_six_formats_of_a_file_open_it_once(model, tmp_path, changes):
    file, formats = make_source(tmp_path, **changes), "png,json,overlay,dicom-seg,dicom-sr,sc"
    with openings(file) as found:
        predict(file, tmp_path / "out", model, "--formats", formats)
        assert found.count == 1
    assert len(list((tmp_path / "out").iterdir())) == 6 * changes.get("NumberOfFrames", 1)


def test_crop_shows_the_network_the_tissue_alone_and_says_so(source, model, tmp_path):
    stem = predict(source, tmp_path / "out", model, "--crop", "--formats", "png,json,dicom-seg")
    np.testing.assert_array_equal(read_mask(f"{stem}.png"), tissue())
    seg = pydicom.dcmread(f"{stem}.seg.dcm")
    np.testing.assert_array_equal(seg.pixel_array, tissue())
    found = json.loads((tmp_path / "out" / "source.json").read_text())
    assert found["region"] == {"top": TOP, "left": LEFT, "bottom": BOTTOM + 1, "right": RIGHT + 1}
    assert found["calibration"] == "mm from ultrasound region"
    area = tissue().sum() * SPACING[0] * SPACING[1]
    assert found["measurements"]["area"] == {"value": pytest.approx(area, rel=1e-3), "unit": "mm2"}
    parameters = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert f"crop=rows {TOP}-{BOTTOM + 1} columns {LEFT}-{RIGHT + 1}" in str(parameters)


def test_without_crop_it_sees_all_and_says_so(source, model, tmp_path):
    stem = predict(source, tmp_path / "out", model, "--no-crop", "--formats", "png,json")
    assert read_mask(f"{stem}.png").all()
    found = json.loads((tmp_path / "out" / "source.json").read_text())
    assert found["region"] is None
    assert found["calibration"] == "none: the lesion does not lie in one ultrasound region"
    assert found["measurements"]["area"] == {"value": SHAPE[0] * SHAPE[1], "unit": "px2"}


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_type_of_the_seg_is_the_one_asked_for(source, model, tmp_path, kind):
    stem = predict(source, tmp_path / "out", model, "--crop", "--formats", "dicom-seg", "--seg-type", kind)
    seg = hd.seg.segread(f"{stem}.seg.dcm")
    assert seg.SegmentationType == kind.upper()
    pixels = seg.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])
    np.testing.assert_array_equal(pixels.squeeze(), tissue())


def test_unknown_type_of_seg_is_refused_with_the_known_ones(source, tmp_path):
    result = CliRunner().invoke(
        cli.app, ["predict", str(source), "--output", str(tmp_path), "--seg-type", "fractional"]
    )
    assert result.exit_code == 2
    assert "binary" in result.output
    assert "labelmap" in result.output


@pytest.mark.parametrize("formats", ["dicom-seg,dicom-sr", "dicom-sr,dicom-seg", "dicom-sr"])
def test_report_refers_to_the_seg_of_the_same_run(source, model, tmp_path, formats):
    stem = predict(source, tmp_path / "out", model, "--formats", formats)
    groups = hd.sr.srread(f"{stem}.sr.dcm").content.get_planar_roi_measurement_groups()
    if "dicom-seg" not in formats:
        assert len(groups) == 1
        return
    reference = groups[1].referenced_segmentation_frame[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == pydicom.dcmread(f"{stem}.seg.dcm").SOPInstanceUID


@pytest.mark.parametrize("formats", ["", " , ", "png,dicom"])
def test_no_or_an_unknown_format_is_refused_with_the_known_ones(source, model, tmp_path, formats):
    arguments = ["predict", source, "--output", tmp_path / "out", "--bundle", model, "--formats", formats]
    error = CliRunner().invoke(cli.app, list(map(str, arguments))).exception
    assert isinstance(error, InputError), error
    known = "png, nifti, json, overlay, dicom-seg, dicom-sr, sc"
    assert str(error).startswith(f"--formats: must be one or more of {known}, got ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("regions", [1, 2], ids=["one scale", "two scales"])
def test_capture_has_a_spacing_only_where_the_whole_picture_has_one(source, tmp_path, regions):
    dataset = pydicom.dcmread(source)
    other = deepcopy(dataset.SequenceOfUltrasoundRegions[0])
    other.RegionLocationMinX0, other.RegionLocationMaxX1 = RIGHT + 1, SHAPE[1] - 1
    other.PhysicalDeltaX = other.PhysicalDeltaY = 0.04
    dataset.SequenceOfUltrasoundRegions = [*dataset.SequenceOfUltrasoundRegions, other][:regions]
    dataset.pop("PixelSpacing", None)
    dataset.save_as(source)
    mask = (ellipse_mask() & tissue()).astype(np.uint8)
    found = Segmentation(read_image(source), mask, mask.astype(np.float32), Algorithm("a network", "0.1.0", WEIGHTS))
    assert found.spacing == SPACING
    (file,) = found.save(tmp_path / "out", ["sc"])
    assert pydicom.dcmread(file).get("PixelSpacing") == (list(SPACING) if regions == 1 else None)


def test_the_network_sees_the_tissue_alone_without_being_asked(source, model, tmp_path):
    stem = predict(source, tmp_path / "out", model, "--formats", "png,json")
    np.testing.assert_array_equal(read_mask(f"{stem}.png"), tissue())
    assert json.loads((tmp_path / "out" / "source.json").read_text())["remarks"] == []


def found_at(source, rows, columns):
    mask = np.zeros(SHAPE, np.uint8)
    mask[slice(*rows), slice(*columns)] = 1
    return Segmentation(read_image(source), mask, mask.astype(np.float32), Algorithm("a network", "0.1.0", WEIGHTS))


PLACES = {
    "outside": (((1, 5), (20, 40)), "The lesion lies outside every tissue region of the header"),
    "partly": (((TOP - 3, TOP + 5), (20, 40)), "The lesion lies partly outside the tissue regions of the header"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_lesion_outside_the_tissue_is_said_to_be_so_in_every_output(source, tmp_path, place):
    where, remark = PLACES[place]
    result = found_at(source, *where)
    why = "the lesion does not lie in one ultrasound region"
    assert (result.remarks, result.calibration.reason) == ((remark,), why)
    formats = ["png", "nifti", "json", "overlay", "dicom-seg", "dicom-sr", "sc"]
    mask, nifti, facts, overlay, seg, report, capture = result.save(tmp_path / "out", formats)
    assert Image.open(mask).text == {"Description": remark}
    assert nibabel.load(nifti).header["descrip"].item().decode() == remark
    found = json.loads(facts.read_text())
    assert (found["remarks"], found["calibration"]) == ([remark], f"none: {why}")
    plain = draw_overlay(result.image.pixels, pred=result.mask)
    assert (np.asarray(Image.open(overlay)) != plain).any()
    assert pydicom.dcmread(seg).SegmentSequence[0].SegmentDescription == remark
    texts = [element.value for element in pydicom.dcmread(report).iterall() if element.keyword == "TextValue"]
    assert remark in texts
    assert f"Sizes are in pixels: {why}" in texts
    tall = pydicom.dcmread(capture).Rows
    inside = found_at(source, (TOP + 1, TOP + 9), (20, 40))
    assert inside.remarks == ()
    (other,) = inside.save(tmp_path / "in", ["sc"])
    assert tall > pydicom.dcmread(other).Rows  # two lines more: the remark and why there are no millimetres


def test_what_lies_outside_the_tissue_is_said_on_the_log(source, model, tmp_path, caplog):
    predict(source, tmp_path / "out", model, "--no-crop")
    assert "source.dcm: The lesion lies partly outside the tissue regions of the header" in caplog.text
    caplog.clear()
    predict(source, tmp_path / "in", model)
    assert "outside" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SequenceOfUltrasoundRegions": None}, "the file does not know its scale"),
        ({"PixelSpacing": [9, 9]}, "Pixel Spacing contradicts the ultrasound regions"),
    ],
)
def test_why_there_are_no_millimetres_is_one_reason_everywhere(tmp_path, changes, reason):
    result = found_at(make_source(tmp_path, **changes), (10, 20), (20, 40))
    facts, report, capture = result.save(tmp_path / "out", ["json", "dicom-sr", "sc"])
    assert json.loads(facts.read_text())["calibration"] == f"none: {reason}"
    texts = [element.value for element in pydicom.dcmread(report).iterall() if element.keyword == "TextValue"]
    assert f"Sizes are in pixels: {reason}" in texts
    assert "PixelSpacing" not in pydicom.dcmread(capture)


def test_a_geometry_of_the_picture_is_asked_for(source, model, tmp_path):
    stem = predict(source, tmp_path / "out", model, "--formats", "dicom-seg", "--seg-geometry", "picture")
    (measures,) = pydicom.dcmread(f"{stem}.seg.dcm").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == list(SPACING)
