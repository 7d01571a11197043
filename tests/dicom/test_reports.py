"""SR: read back by highdicom and dcmtk; coordinates, units and references by independent truth."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from monai_lesion.dicom import Algorithm, measurement_report, segmentation, write
from monai_lesion.errors import InputError
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.sizes import Quantity, measure
from tests.dicom import (
    CINE,
    RETIRED,
    RETIRED_CINE,
    SECONDARY_CAPTURE,
    SHAPE,
    SPACING,
    TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES,
    WEIGHTS,
    ellipse_mask,
    make_source,
    needs_dciodvfy,
    needs_dcmtk,
    verdict,
)

hd = pytest.importorskip("highdicom", reason="the writers need highdicom")

ALGORITHM = Algorithm("Lighter U-net @128", "0.1.0", WEIGHTS, bundle_version="0.2.0")
SOURCES = {
    "current": ({}, None),
    "retired": ({"SOPClassUID": RETIRED}, None),
    "secondary-capture": ({"SOPClassUID": SECONDARY_CAPTURE}, None),
    "frame-of-a-cine": ({"SOPClassUID": CINE, "NumberOfFrames": 3}, 2),
    "frame-of-a-retired-cine": ({"SOPClassUID": RETIRED_CINE, "NumberOfFrames": 3}, 1),
}
QUICK = ("current", "frame-of-a-cine")
MOST_SLOW = [
    pytest.param(*source, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name, source in SOURCES.items()
]


@pytest.fixture
def box():
    """Rows 10 to 19 and columns 20 to 49: its edges are the lines 10 and 20, 20 and 50."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 20:50] = 1
    return mask


def items(dataset, value_type):
    found = [dataset] if dataset.get("ValueType") == value_type else []
    return found + [each for item in dataset.get("ContentSequence", ()) for each in items(item, value_type)]


def sizes(report):
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in items(report, "NUM")
    }


def test_sizes_are_the_measured_ones_in_millimetres(tmp_path, box):
    measured = measure(box, SPACING)
    report = measurement_report(make_source(tmp_path), measured, ALGORITHM)
    assert sizes(report) == {
        "Long axis": (round(measured.long_axis.value, 4), "mm"),
        "Short axis": (round(measured.short_axis.value, 4), "mm"),
        "Area": (pytest.approx(10 * 0.2 * 30 * 0.1), "mm2"),
    }


def test_sizes_without_a_scale_are_in_pixels(tmp_path, box):
    report = measurement_report(make_source(tmp_path), measure(box), ALGORITHM)
    assert {unit for _, unit in sizes(report).values()} == {"{pixels}"}
    assert sizes(report)["Area"][0] == 300
    comments = [item.TextValue for item in items(report, "TEXT")]
    assert "Sizes are in pixels: the image does not state its scale" in comments


def test_coordinates_are_column_and_row_from_the_corner_of_the_first_pixel(tmp_path, box):
    report = measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM)
    *lines, outline = (np.reshape(item.GraphicData, (-1, 2)) for item in items(report, "SCOORD"))
    assert outline.min(axis=0).tolist() == [20, 10]
    assert outline.max(axis=0).tolist() == [50, 20]
    assert outline[0].tolist() == outline[-1].tolist()  # a closed polyline is a region
    for (name, unit), ends in zip((("Long axis", "mm"), ("Short axis", "mm")), lines, strict=True):
        across, down = (ends[1] - ends[0]) * SPACING[::-1]
        assert sizes(report)[name] == (pytest.approx(np.hypot(across, down), abs=1e-4), unit)


@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
def test_every_region_and_the_evidence_refer_to_the_source(tmp_path, changes, frame):
    file = make_source(tmp_path, **changes)
    source = pydicom.dcmread(file)
    report = measurement_report(file, measure(ellipse_mask(), SPACING), ALGORITHM, frame=frame)
    references = [item.ReferencedSOPSequence[0] for item in items(report, "IMAGE")]
    assert len(references) == 3
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == source.SeriesInstanceUID
    for reference in (*references, evidence.ReferencedSOPSequence[0]):
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert {reference.get("ReferencedFrameNumber") for reference in references} == {
        None if frame is None else frame + 1
    }


@needs_dciodvfy
@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("spacing", [SPACING, None], ids=["mm", "pixels"])
def test_dciodvfy_finds_no_fault(tmp_path, changes, frame, spacing):
    file = make_source(tmp_path, **changes)
    report = measurement_report(file, measure(ellipse_mask(), spacing), ALGORITHM, frame=frame)
    kind, faults = verdict(write(report, tmp_path / "sr.dcm"))
    assert (kind, faults - TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES) == ("ComprehensiveSR", set())


INTERVALS = {"area": Interval(Quantity(40.0, "mm2"), Quantity(90.5, "mm2"), 0.9)}


def evaluations(report):
    return [
        (item.ConceptNameCodeSequence[0].CodeMeaning, item.ConceptCodeSequence[0].CodeMeaning)
        for item in items(report, "CODE")
        if item.ConceptNameCodeSequence[0].CodeValue == "121071" and item.ConceptCodeSequence[0].CodeMeaning != "Lesion"
    ]


@pytest.mark.parametrize(("decision", "word"), [("lesion", "Detected"), ("doubtful", "Equivocal")])
def test_decision_trust_and_intervals_are_evaluation_and_measurements(tmp_path, box, decision, word):
    beliefs = {"decision": decision, "trust": 0.81234, "intervals": INTERVALS}
    report = measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM, **beliefs)
    assert evaluations(report) == [("Finding", word)]
    assert sizes(report)["Estimated Dice coefficient of the segmentation"] == (0.8123, "1")
    assert sizes(report)["Area, lower end of the 90% interval"] == (40.0, "mm2")
    assert sizes(report)["Area, upper end of the 90% interval"] == (90.5, "mm2")
    private = {
        item.ConceptNameCodeSequence[0].CodeValue
        for item in items(report, "NUM")
        if item.ConceptNameCodeSequence[0].CodingSchemeDesignator == "99MONAILESION"
    }
    assert private == {"TRUST", "AREA_LOW", "AREA_HIGH"}
    told = [item.TextValue for item in items(report, "TEXT")]
    assert ("The segmentation is doubtful: a person must look at it" in told) == (decision == "doubtful")


def test_without_a_calibration_there_is_neither(tmp_path, box):
    report = measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM)
    assert evaluations(report) == []


@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
def test_a_report_says_that_nothing_was_found_in_its_image(tmp_path, changes, frame):
    file = make_source(tmp_path, **changes)
    report = hd.sr.srread(write(measurement_report(file, None, ALGORITHM, frame=frame), tmp_path / "sr.dcm"))
    assert evaluations(report) == [("Finding", "Not detected")]
    assert sizes(report) == {}
    (image,) = (item.ReferencedSOPSequence[0] for item in items(report, "IMAGE"))
    assert image.ReferencedSOPInstanceUID == pydicom.dcmread(file).SOPInstanceUID
    assert image.get("ReferencedFrameNumber") == (None if frame is None else frame + 1)


@needs_dciodvfy
@pytest.mark.parametrize("found", [True, False], ids=["found", "nothing found"])
def test_dciodvfy_finds_no_fault_in_what_trust_adds(tmp_path, found):
    measured = measure(ellipse_mask(), SPACING) if found else None
    beliefs = {"decision": "lesion" if found else "nothing found", "trust": 0.8, "intervals": INTERVALS}
    report = measurement_report(make_source(tmp_path), measured, ALGORITHM, **beliefs)
    kind, faults = verdict(write(report, tmp_path / "sr.dcm"))
    assert kind == "ComprehensiveSR"
    assert all("99MONAILESION" in fault for fault in faults)  # a private coding scheme, which it warns of


def evidence(sequence):
    return {
        (series.SeriesInstanceUID, each.ReferencedSOPInstanceUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }


def clean(report, file):
    """Whether dciodvfy and dcmtk, where installed, have nothing against it."""
    written = write(report, file)
    if shutil.which("dciodvfy"):
        kind, faults = verdict(written)
        assert (kind, faults - TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES) == ("ComprehensiveSR", set())
    if shutil.which("dsrdump"):
        dump = subprocess.run(["dsrdump", str(written)], capture_output=True, text=True, check=True)
        assert dump.stderr == ""
    return True


@pytest.mark.parametrize(("changes", "frame"), MOST_SLOW)
def test_segment_of_the_same_run_is_referred_to(tmp_path, changes, frame):
    file = make_source(tmp_path, **changes)
    original, seg = pydicom.dcmread(file), segmentation(file, ellipse_mask(), ALGORITHM, frame=frame)
    measured = measure(ellipse_mask(), SPACING)
    report = measurement_report(file, measured, ALGORITHM, frame=frame, segmentation=seg)
    assert clean(report, tmp_path / "sr.dcm")
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    contour, segment = content.get_planar_roi_measurement_groups()
    assert contour.reference_type == codes.DCM.ImageRegion
    assert segment.reference_type == codes.DCM.ReferencedSegmentationFrame
    assert segment.tracking_uid == seg.SegmentSequence[0].TrackingUID
    (axes,) = content.get_image_measurement_groups()
    assert len({group.tracking_uid for group in (axes, contour, segment)}) == 3  # viewers take one for one group
    assert {group.tracking_identifier for group in (axes, contour, segment)} == {"Lesion 1"}
    image, source = (item.ReferencedSOPSequence[0] for item in segment.referenced_segmentation_frame)
    assert (image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID) == (seg.SOPClassUID, seg.SOPInstanceUID)
    assert (image.ReferencedSegmentNumber, "ReferencedFrameNumber" in image) == (1, False)
    assert source.ReferencedSOPClassUID == original.SOPClassUID
    assert source.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert source.get("ReferencedFrameNumber") == (None if frame is None else frame + 1)
    listed = {(each.SeriesInstanceUID, each.SOPInstanceUID) for each in (original, seg)}
    assert evidence(report.CurrentRequestedProcedureEvidenceSequence) == listed


def test_label_map_is_evidence_that_no_group_refers_to(tmp_path):
    file = make_source(tmp_path)
    seg = segmentation(file, ellipse_mask(), ALGORITHM, kind="labelmap")
    report = measurement_report(file, measure(ellipse_mask(), SPACING), ALGORITHM, segmentation=seg)
    assert clean(report, tmp_path / "sr.dcm")
    (contour,) = hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    assert contour.tracking_uid == seg.SegmentSequence[-1].TrackingUID
    listed = {(each.SeriesInstanceUID, each.SOPInstanceUID) for each in (pydicom.dcmread(file), seg)}
    assert evidence(report.CurrentRequestedProcedureEvidenceSequence) == listed


def test_refuses_a_segmentation_of_another_picture(tmp_path):
    cine = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    seg, measured = segmentation(cine, ellipse_mask(), ALGORITHM, frame=0), measure(ellipse_mask(), SPACING)
    with pytest.raises(InputError, match=r"segmentation: must be made of .*source.dcm, frame 1, got that of another"):
        measurement_report(cine, measured, ALGORITHM, frame=1, segmentation=seg)
    other = make_source(tmp_path, SOPInstanceUID="1.2.3.99")
    with pytest.raises(InputError, match=r"segmentation: must be made of .*source.dcm, got"):
        measurement_report(other, measured, ALGORITHM, segmentation=seg)


def test_highdicom_reads_the_groups(tmp_path, box):
    source = make_source(tmp_path)
    file = write(measurement_report(source, measure(box, SPACING), ALGORITHM), tmp_path / "sr.dcm")
    content = hd.sr.srread(file).content
    (planar,) = content.get_planar_roi_measurement_groups()
    assert planar.finding_type == codes.SCT.Lesion
    assert [each.name for each in planar.get_measurements()] == [codes.SCT.Area]
    (axes,) = content.get_image_measurement_groups()
    assert [each.name for each in axes.get_measurements()] == [codes.SCT.LongAxis, codes.SCT.ShortAxis]
    (observer,) = content.get_observer_contexts()
    assert observer.observer_type == codes.DCM.Device
    assert observer.observer_identifying_attributes.model_name == "Lighter U-net @128"
    texts = [item.TextValue for item in items(content[0], "TEXT")]
    assert "0.1.0 (bundle 0.2.0, weights 9f86d081884c)" in texts
    assert f"weights_id={WEIGHTS}" in texts
    assert "Research use only; not a medical device" in texts
    segment = segmentation(source, box, ALGORITHM).SegmentSequence[0]
    assert planar.tracking_uid == segment.TrackingUID != axes.tracking_uid


@needs_dcmtk
def test_dcmtk_reads_it(tmp_path, box):
    file = write(measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM), tmp_path / "sr.dcm")
    dump = subprocess.run(["dsrdump", "+Pl", str(file)], capture_output=True, text=True, check=True)
    assert '(,,"Area")="6" (mm2,UCUM,"square millimeter")' in dump.stdout.replace('"6.0"', '"6"')
    assert "Completion Flag     : COMPLETE" in dump.stdout
    assert "Verification Flag   : UNVERIFIED" in dump.stdout
    assert dump.stderr == ""
    tree = json.loads(subprocess.run(["dcm2json", str(file)], capture_output=True, text=True, check=True).stdout)
    assert tree["0040A504"]["Value"][0]["0040DB00"]["Value"] == ["1500"]


@pytest.mark.parametrize(
    ("mask", "comment"),
    [
        (np.eye(*SHAPE, 3), "The lesion touches the border of the image: its sizes are lower bounds"),
        (np.kron([[0, 1, 0, 1]], np.ones((45, 16)))[:, :61], "The largest of 2 separate parts is measured"),
    ],
    ids=["border", "parts"],
)
def test_says_what_the_numbers_hide(tmp_path, mask, comment):
    report = measurement_report(make_source(tmp_path), measure(mask, SPACING), ALGORITHM)
    assert comment in [item.TextValue for item in items(report, "TEXT")]


def test_says_nothing_more_of_a_whole_lesion_in_millimetres(tmp_path, box):
    report = measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM)
    comments = [item for item in items(report, "TEXT") if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]
    assert [item.TextValue for item in comments] == ["Research use only; not a medical device"]


def test_report_is_complete_and_neither_final_nor_verified(tmp_path, box):
    report = measurement_report(make_source(tmp_path), measure(box, SPACING), ALGORITHM)
    flags = report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag
    assert flags == ("COMPLETE", "PRELIMINARY", "UNVERIFIED")
    assert (report.Modality, report.SeriesDescription) == ("SR", "Lesion measurements, research use only")


def test_observer_is_the_network(tmp_path, box):
    algorithm = replace(ALGORITHM, weights="0123456789abcdef" * 8)
    source = make_source(tmp_path)
    file = write(measurement_report(source, measure(box, SPACING), algorithm), tmp_path / "sr.dcm")
    (observer,) = hd.sr.srread(file).content.get_observer_contexts()
    device = observer.observer_identifying_attributes
    assert (device.name, device.manufacturer_name, device.model_name) == (*["monai_lesion"] * 2, "Lighter U-net @128")
    assert device.serial_number == "0123456789abcdef" * 4


@pytest.mark.parametrize(("spacing", "units"), [(SPACING, ["mm", "mm", "mm2"]), (None, ["{pixels}"] * 3)], ids=str)
def test_units_are_coded_and_named(tmp_path, box, spacing, units):
    report = measurement_report(make_source(tmp_path), measure(box, spacing), ALGORITHM)
    units_coded = [item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0] for item in items(report, "NUM")]
    assert [code.CodeValue for code in units_coded] == units
    assert {code.CodingSchemeDesignator for code in units_coded} == {"UCUM"}
    names = {"mm": "mm", "mm2": "square millimeter", "{pixels}": "pixels"}
    assert [code.CodeMeaning for code in units_coded] == [names[unit] for unit in units]


def test_refuses_measurements_of_another_picture(tmp_path):
    elsewhere = np.zeros((100, 100), np.uint8)
    elsewhere[50:60, 70:80] = 1
    with pytest.raises(InputError, match=r"measurements: must lie within the 45 rows and 61 columns of .*source.dcm"):
        measurement_report(make_source(tmp_path), measure(elsewhere), ALGORITHM)


@pytest.mark.parametrize(("changes", "frame"), MOST_SLOW)
def test_what_could_not_be_evaluated_is_said_with_the_reason_and_the_report_that_it_replaces(tmp_path, changes, frame):
    file = make_source(tmp_path, **changes)
    earlier = measurement_report(file, None, ALGORITHM, frame=frame)
    told = {"obstacle": "its pixels are cut off", "replaces": [earlier]}
    report = measurement_report(file, None, replace(ALGORITHM, weights="0" * 16), frame=frame, **told)
    assert evaluations(report) == [("Finding", "Undetermined")]
    assert "The image could not be evaluated: its pixels are cut off" in [
        item.TextValue for item in items(report, "TEXT")
    ]
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == report.StudyInstanceUID
    assert series.SeriesInstanceUID == earlier.SeriesInstanceUID != report.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == earlier.SOPInstanceUID
    assert clean(report, tmp_path / "sr.dcm")
