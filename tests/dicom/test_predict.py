"""What `monai-lesion predict` makes of a DICOM file: the crop, the type of SEG, a report that knows its SEG."""

from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from typer.testing import CliRunner

from monai_lesion.commands import app as cli
from monai_lesion.dicom import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_image, read_mask
from monai_lesion.segmentation.results import Segmentation
from tests.dicom import CINE, SHAPE, SPACING, WEIGHTS, ellipse_mask, make_source
from tests.openings import openings
from tests.pacs import SMALL, finds_everything

hd = pytest.importorskip("highdicom", reason="the writers need highdicom")

TOP, LEFT, BOTTOM, RIGHT = 7, 11, 39, 52  # of the tissue; BOTTOM and RIGHT are the last row and column


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return finds_everything(tmp_path_factory.mktemp("weights"))


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


def predict(source, output, weights, *options):
    arguments = ["predict", source, "--output", output, "--weights", weights, *SMALL, *options]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.exception
    return output / "source"


def tissue():
    inside = np.zeros(SHAPE, bool)
    inside[TOP : BOTTOM + 1, LEFT : RIGHT + 1] = True
    return inside


@pytest.mark.parametrize("changes", [{}, {"SOPClassUID": CINE, "NumberOfFrames": 3}], ids=["picture", "cine"])
def test_six_formats_of_a_file_open_it_once(weights, tmp_path, changes):
    file, formats = make_source(tmp_path, **changes), "png,json,overlay,dicom-seg,dicom-sr,sc"
    with openings(file) as found:
        predict(file, tmp_path / "out", weights, "--formats", formats)
        assert found.count == 1
    assert len(list((tmp_path / "out").iterdir())) == 6 * changes.get("NumberOfFrames", 1)


def test_crop_shows_the_network_the_tissue_alone_and_says_so(source, weights, tmp_path):
    stem = predict(source, tmp_path / "out", weights, "--crop", "--formats", "png,json,dicom-seg")
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


def test_without_crop_it_sees_all_and_says_so(source, weights, tmp_path):
    stem = predict(source, tmp_path / "out", weights, "--no-crop", "--formats", "png,json")
    assert read_mask(f"{stem}.png").all()
    found = json.loads((tmp_path / "out" / "source.json").read_text())
    assert found["region"] is None
    assert found["calibration"] == "none: the lesion does not lie in one ultrasound region"
    assert found["measurements"]["area"] == {"value": SHAPE[0] * SHAPE[1], "unit": "px2"}


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_type_of_the_seg_is_the_one_asked_for(source, weights, tmp_path, kind):
    stem = predict(source, tmp_path / "out", weights, "--crop", "--formats", "dicom-seg", "--seg-type", kind)
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
def test_report_refers_to_the_seg_of_the_same_run(source, weights, tmp_path, formats):
    stem = predict(source, tmp_path / "out", weights, "--formats", formats)
    groups = hd.sr.srread(f"{stem}.sr.dcm").content.get_planar_roi_measurement_groups()
    if "dicom-seg" not in formats:
        assert len(groups) == 1
        return
    reference = groups[1].referenced_segmentation_frame[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == pydicom.dcmread(f"{stem}.seg.dcm").SOPInstanceUID


@pytest.mark.parametrize("formats", ["", " , ", "png,dicom"])
def test_no_or_an_unknown_format_is_refused_with_the_known_ones(source, weights, tmp_path, formats):
    arguments = ["predict", source, "--output", tmp_path / "out", "--weights", weights, "--formats", formats]
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
