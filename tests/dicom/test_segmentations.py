"""SEG: read back by highdicom to the pixel, clean for dciodvfy, and tied to its frame."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from monai_lesion.dicom import Algorithm, segmentation, write
from monai_lesion.errors import InputError
from tests.dicom import (
    CINE,
    RETIRED,
    RETIRED_CINE,
    SECONDARY_CAPTURE,
    SHAPE,
    SPACING,
    TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES,
    UNKNOWN,
    WEIGHTS,
    ellipse_mask,
    make_source,
    needs_dciodvfy,
    verdict,
)
from tests.shared_data import ABSENT, US_DICOM

hd = pytest.importorskip("highdicom", reason="the writers need highdicom")

ALGORITHM = Algorithm("Lighter U-net @128", "0.1.0", WEIGHTS, bundle_version="0.2.0", settings={"threshold": "0.5"})
SOURCES = {
    "current": ({}, None),
    "retired": ({"SOPClassUID": RETIRED}, None),
    "secondary-capture": ({"SOPClassUID": SECONDARY_CAPTURE}, None),
    "frame-of-a-cine": ({"SOPClassUID": CINE, "NumberOfFrames": 3}, 2),
    "frame-of-a-retired-cine": ({"SOPClassUID": RETIRED_CINE, "NumberOfFrames": 3}, 1),
    "cine-of-one-frame": ({"SOPClassUID": CINE, "NumberOfFrames": 1}, None),
}


def read_back(file, source, frame):
    seg = hd.seg.segread(file)
    uid = source.SOPInstanceUID
    if frame is None:
        pixels = seg.get_pixels_by_source_instance([uid])
    else:
        pixels = seg.get_pixels_by_source_frame(uid, [frame + 1])
    return seg, pixels[0] if seg.SegmentationType == "LABELMAP" and pixels.ndim == 3 else pixels[0, :, :, 0]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
def test_mask_read_back_by_highdicom_is_the_mask_written(tmp_path, changes, frame, kind):
    file = make_source(tmp_path, **changes)
    source, mask = pydicom.dcmread(file), ellipse_mask()
    seg, pixels = read_back(
        write(segmentation(file, mask, ALGORITHM, frame=frame, kind=kind), tmp_path / "s.dcm"), source, frame
    )
    np.testing.assert_array_equal(pixels, mask)
    assert seg.SegmentationType == kind.upper()
    for reference in (seg.SourceImageSequence[0], seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]):
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    derived = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    number = None if frame is None else frame + 1
    assert derived.get("ReferencedFrameNumber") == seg.SourceImageSequence[0].get("ReferencedFrameNumber") == number
    assert "ReferencedFrameNumber" not in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID


@needs_dciodvfy
@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
def test_dciodvfy_finds_no_fault(tmp_path, changes, frame):
    seg = segmentation(make_source(tmp_path, **changes), ellipse_mask(), ALGORITHM, frame=frame)
    kind, faults = verdict(write(seg, tmp_path / "seg.dcm"))
    assert (kind, faults - TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES) == ("Segmentation", set())


def test_segment_says_what_and_by_which_algorithm(tmp_path):
    file = write(segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM), tmp_path / "seg.dcm")
    segment = hd.seg.segread(file).get_segment_description(1)
    assert segment.segmented_property_category == pydicom.sr.codedict.codes.cid7150.MorphologicallyAbnormalStructure
    assert segment.segmented_property_type == pydicom.sr.codedict.codes.cid7159.Lesion
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    made_by = segment.algorithm_identification[0]
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == (
        "Lighter U-net @128",
        "0.1.0 (bundle 0.2.0, weights 9f86d081884c)",
    )
    assert f"weights_id={WEIGHTS},threshold=0.5" in made_by.AlgorithmParameters


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_object_says_what_it_is(tmp_path, kind):
    seg = segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM, kind=kind)
    assert (seg.Modality, seg.ContentLabel, seg.ContentDescription) == ("SEG", "LESION", "Lesion")
    assert seg.SeriesDescription == "Lesion segmentation, research use only"
    segment = next(item for item in seg.SegmentSequence if item.SegmentNumber == 1)
    assert (segment.SegmentLabel, segment.TrackingID) == ("Lesion", "Lesion 1")
    family = segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmFamilyCodeSequence[0]
    assert family.CodeMeaning == "Artificial Intelligence"
    assert seg["PatientOrientation"].value is None or seg.PatientOrientation == ""


def test_dimensions_have_one_identifier_for_each_frame(tmp_path):
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    found = []
    for frame in (0, 0, 1):
        seg = segmentation(file, ellipse_mask(), ALGORITHM, frame=frame)
        items = [*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence]
        assert len(items) > 1
        (uid,) = {item.DimensionOrganizationUID for item in items}
        found.append(uid)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_empty_mask_is_a_frame_of_zeros_that_says_so(tmp_path, kind):
    file = make_source(tmp_path)
    empty = np.zeros(SHAPE, bool)
    seg, pixels = read_back(
        write(segmentation(file, empty, ALGORITHM, kind=kind), tmp_path / "seg.dcm"), pydicom.dcmread(file), None
    )
    np.testing.assert_array_equal(pixels, empty)
    assert seg.NumberOfFrames == 1
    assert seg.ContentDescription == "No lesion found"
    if kind == "binary" and shutil.which("dciodvfy"):
        assert verdict(tmp_path / "seg.dcm") == ("Segmentation", set())


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((61, 45)), r"mask: must have the rows and columns \(45, 61\) of .*source.dcm, got \(61, 45\)"),
        (np.zeros((1, 45, 61)), r"mask: must have the rows and columns"),
        (np.full(SHAPE, 255, np.uint8), "mask: must hold 0 and 1 only, got uint8 .* Threshold it first"),
        (np.full(SHAPE, 0.5), "mask: must hold 0 and 1 only, got float64"),
    ],
    ids=["transposed", "three-axes", "0-and-255", "probability"],
)
def test_refuses_what_is_no_mask_of_the_source(tmp_path, mask, message):
    with pytest.raises(InputError, match=message):
        segmentation(make_source(tmp_path), mask, ALGORITHM)


def test_refuses_an_unknown_kind(tmp_path):
    with pytest.raises(InputError, match="kind: must be one of binary, labelmap, got fractional"):
        segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM, kind="fractional")


@pytest.mark.skipif(not US_DICOM.is_dir(), reason=ABSENT)
@pytest.mark.parametrize(
    "name",
    ["US1_UNCR.dcm", "US1_J2KR.dcm", "color-pl.dcm", "deid_GREYSCALE_IMAGE.dcm", "deid_GREYSCALE_CINE.zip"],
)
def test_scanners_files_take_a_mask_to_the_pixel(tmp_path, name):
    file = US_DICOM / name
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            file = archive.extract(archive.namelist()[0], tmp_path)
    source = pydicom.dcmread(file, stop_before_pixels=True)
    frame = 5 if source.get("NumberOfFrames", 1) > 1 else None
    mask = np.zeros((source.Rows, source.Columns), np.uint8)
    mask[11:42, 17:99] = 1
    written = write(segmentation(file, mask, ALGORITHM, frame=frame), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_back(written, source, frame)[1], mask)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_no_place_in_the_patient_is_claimed_only_the_axes_of_the_picture(tmp_path, kind):
    seg = segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM, kind=kind)
    (orientation,) = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    assert orientation.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert len(seg.SharedFunctionalGroupsSequence) == 1
    for absent in ("FrameOfReferenceUID", "ImagePositionPatient", "PixelSpacing"):
        assert not [element for element in seg.iterall() if element.keyword == absent]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("spacing", [SPACING, None], ids=["mm", "pixels"])
def test_a_geometry_of_the_picture_is_an_option(tmp_path, kind, spacing):
    options = {"kind": kind, "geometry": "picture", "spacing": spacing}
    file = make_source(tmp_path)
    seg = segmentation(file, ellipse_mask(), ALGORITHM, **options)
    (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == list(spacing or (1, 1))
    (position,) = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    assert position.ImagePositionPatient == [0, 0, 0]
    assert seg.FrameOfReferenceUID == segmentation(file, ellipse_mask() * 0, ALGORITHM, **options).FrameOfReferenceUID
    assert seg["PositionReferenceIndicator"].is_empty
    assert seg.SOPInstanceUID != segmentation(file, ellipse_mask(), ALGORITHM, kind=kind).SOPInstanceUID
    _, pixels = read_back(write(seg, tmp_path / "seg.dcm"), pydicom.dcmread(file), None)
    np.testing.assert_array_equal(pixels, ellipse_mask())
    if kind == "binary" and shutil.which("dciodvfy"):
        assert verdict(tmp_path / "seg.dcm") == ("Segmentation", set())


def test_two_frames_of_a_cine_share_no_frame_of_reference(tmp_path):
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    found = {
        segmentation(file, ellipse_mask(), ALGORITHM, frame=frame, geometry="picture").FrameOfReferenceUID
        for frame in (0, 1)
    }
    assert len(found) == 2


def test_remarks_stand_in_the_segment_and_the_object(tmp_path):
    remark = "The lesion lies outside every tissue region of the header"
    seg = segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM, remarks=[remark])
    assert seg.ContentDescription == seg.SegmentSequence[0].SegmentDescription == remark
    assert len(remark) <= 64  # characters of a Long String


def test_refuses_an_unknown_geometry(tmp_path):
    with pytest.raises(InputError, match="geometry: must be one of none, picture, got patient"):
        segmentation(make_source(tmp_path), ellipse_mask(), ALGORITHM, geometry="patient")


@needs_dciodvfy
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
def test_an_earlier_segmentation_is_named_as_replaced_and_the_mask_read_as_before(tmp_path, changes, frame, kind):
    file = make_source(tmp_path, **changes)
    source, mask = pydicom.dcmread(file), ellipse_mask()
    earlier = segmentation(file, 1 - mask, ALGORITHM, frame=frame)
    newer = replace(ALGORITHM, weights="0" * 16)
    plain = segmentation(file, mask, newer, frame=frame, kind=kind)
    made = segmentation(file, mask, newer, frame=frame, kind=kind, replaces=[earlier])
    (item,) = made.ReferencedImageSequence
    assert item.ReferencedSOPInstanceUID == earlier.SOPInstanceUID
    assert item.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Segmentation that this one replaces"
    picture, other = made.ReferencedSeriesSequence
    assert picture.SeriesInstanceUID == source.SeriesInstanceUID
    assert other.SeriesInstanceUID == earlier.SeriesInstanceUID != made.SeriesInstanceUID
    assert other.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == earlier.SOPInstanceUID
    written = write(made, tmp_path / "s.dcm")
    found, faults = verdict(written)
    known, others = verdict(write(plain, tmp_path / "plain.dcm"))
    assert found == known
    assert {each.split(" for value")[0] for each in faults - others} <= {UNKNOWN}
    np.testing.assert_array_equal(read_back(written, source, frame)[1], mask)
