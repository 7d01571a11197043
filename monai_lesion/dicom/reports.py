"""DICOM Structured Report: the sizes of a lesion and the lines they were measured along, or that none was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from monai_lesion._version import NOTICE
from monai_lesion.dicom.files import require_highdicom
from monai_lesion.dicom.identity import MANUFACTURER, SCHEME, Algorithm, creation, seal, stable_uid, stand_in, tracking
from monai_lesion.dicom.sources import (
    MULTI_FRAME_ULTRASOUND,
    NO_SCALE,
    SINGLE_FRAME_ULTRASOUND,
    Source,
    SourceFrame,
    open_source,
)
from monai_lesion.errors import InputError
from monai_lesion.images.silence import quiet
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.sizes import Measurements, Quantity

if TYPE_CHECKING:
    from pydicom import Dataset

EVALUATIONS = {
    "lesion": ("260373001", "SCT", "Detected"),
    "doubtful": ("42425007", "SCT", "Equivocal"),
    "nothing found": ("260415000", "SCT", "Not detected"),
    "not evaluable": ("373068000", "SCT", "Undetermined"),
}
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

# A pixel is not a unit: UCUM has only a note in braces for it, and a note takes no power. So an area counts pixels.
UNITS = {
    "mm": ("mm", "mm"),
    "mm2": ("mm2", "square millimeter"),
    "px": ("{pixels}", "pixels"),
    "px2": ("{pixels}", "pixels"),
}


@quiet()  # what pydicom finds odd in the source it quotes
def measurement_report(
    source: Source,
    measurements: Measurements | None,
    algorithm: Algorithm,
    *,
    frame: int | None = None,
    segmentation: Dataset | None = None,
    no_scale: str = NO_SCALE,
    remarks: Sequence[str] = (),
    decision: str | None = None,
    trust: float | None = None,
    intervals: Mapping[str, Interval] | None = None,
    obstacle: str | None = None,
    replaces: Sequence[Dataset] = (),
) -> Dataset:
    """Make a Comprehensive SR of one frame's measurements by template 1500.

    One measurement group holds long and short axis, each with the line it was measured along; a second, planar one the
    area and the contour; a third, with ``segmentation``, names the segment of the SEG, for a planar group may have a
    contour or a segment, not both. All name the lesion alike. Each has a tracking identifier of its own, for viewers
    take groups of one identifier for one; the last has that of the SEG. Sizes are in
    millimetres where the picture is calibrated, else in pixels. The report is marked as complete, preliminary and
    unverified.

    Without measurements the report says that nothing was found, in one group about the image, or that the image could
    not be evaluated (Undetermined), and why. The decision is the
    qualitative evaluation "Finding": Detected, Equivocal or Not detected (SNOMED CT). Trust and the ends of the
    intervals are measurements with private concepts of the coding scheme 99MONAILESION, listed in
    docs/how-to/dicom-objects.md.

    Args:
        source: ultrasound or secondary capture image, retired classes too; a file, its dataset, or what
            :func:`~monai_lesion.dicom.sources.open_source` made of it.
        measurements: result of :func:`monai_lesion.measures.sizes.measure` for the frame's mask; None where nothing was
            found.
        algorithm: the algorithm that made the mask.
        frame: index of the frame, counted from 0; required if the source has several.
        segmentation: the SEG of the same mask, as :func:`monai_lesion.dicom.segmentation` makes it, to refer to; None
            where there is none. A Label Map Segmentation is listed as evidence, but no group refers to it: dcmtk 3.6.7
            refuses the whole report of a class that it does not know.
        no_scale: why the sizes are in pixels, where they are.
        remarks: comments that whoever reads the sizes must know.
        decision: ``"lesion"``, ``"doubtful"`` or ``"nothing found"``; None where it is not known.
        trust: the estimated Dice of the mask, 0 to 1; None where it is not known.
        intervals: of sizes, by the name of the measurement; None where they are not known.
        obstacle: why the image could not be evaluated; None where it could. It must not name the patient.
        replaces: earlier reports of the image, listed as predecessors; of each its class and the identifiers of study,
            series and object are read.

    Raises:
        InputError: when the contour lies outside the source, the frame is missing or does not exist, the source is not
            an ultrasound image or lacks an identifier, the SEG belongs to another picture, or highdicom is missing.

    Source:
        DICOM PS3.16, TID 1500, 1501, 1410 and 4019; PS3.3, C.18.6: column and row, (0.5, 0.5) at the first pixel's
        centre; C.17.2.3: what a report refers to is among its evidence.
    """
    require_highdicom()
    from highdicom import sr
    from pydicom.sr.codedict import codes

    origin = open_source(source, frame)
    number = origin.frame_number
    image = sr.SourceImageForRegion(
        SINGLE_FRAME_ULTRASOUND if number is None else MULTI_FRAME_ULTRASOUND,  # as highdicom knows them, until sealed
        str(origin.header.SOPInstanceUID),
        None if number is None else [number],
    )
    common: dict[str, Any] = {
        "algorithm_id": sr.AlgorithmIdentification(
            name=algorithm.name,
            version=algorithm.version_text,
            parameters=[f"{name}={value}" for name, value in algorithm.parameters.items()],
        ),
    }

    def tracked(*part: str) -> Any:
        name, uid = tracking(origin, algorithm, *part)
        return sr.TrackingIdentifier(uid=uid, identifier=name)

    segment = _segment(segmentation, origin) if segmentation is not None else None
    referred = segmentation is not None and segmentation.SOPClassUID == SEGMENTATION and measurements is not None
    evidence = [stand_in(origin)]
    if measurements is None:
        groups = [_without_lesion(origin, {**common, "tracking_identifier": tracked()}, obstacle)]
    else:
        common["finding_type"] = codes.SCT.Lesion
        beliefs = _beliefs(trust, intervals or {})
        evaluations = [] if decision is None else [_evaluation(decision)]
        outline = _spatial_coordinates(np.vstack([measurements.contour, measurements.contour[:1]]), origin)
        axes = [
            (codes.SCT.LongAxis, measurements.long_axis, measurements.long_axis_ends),
            (codes.SCT.ShortAxis, measurements.short_axis, measurements.short_axis_ends),
        ]
        lines = [
            _measurement(
                name, size, sr.CoordinatesForMeasurement("POLYLINE", _spatial_coordinates(ends, origin), image)
            )
            for name, size, ends in axes
        ]
        axes_group = sr.MeasurementsAndQualitativeEvaluations(
            measurements=[*lines, *beliefs],
            qualitative_evaluations=evaluations,
            tracking_identifier=tracked("axes"),
            **common,
        )
        axes_group[0].ContentSequence.extend(_comments(measurements, decision, no_scale, remarks))
        region_group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=sr.ImageRegion("POLYLINE", outline, image),
            measurements=[_measurement(codes.SCT.Area, measurements.area)],
            tracking_identifier=tracked(*(["contour"] if referred else [])),
            **common,
        )
        groups = [axes_group, region_group]
    if segmentation is not None:
        if referred:
            groups.append(
                sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    referenced_segment=segment, tracking_identifier=tracked(), **common
                )
            )
        evidence.append(segmentation)
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=stable_uid("device", algorithm.key),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.name,
        serial_number=algorithm.weights[:64],
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
        procedure_reported=codes.SCT.DiagnosticUltrasonography,
        imaging_measurements=groups,
    )
    dataset = sr.ComprehensiveSR(
        evidence=evidence,
        content=report[0],
        is_complete=True,
        series_description="Lesion measurements, research use only",
        previous_versions=list(replaces) or None,
        **creation(origin, algorithm, "SR"),
    )
    return seal(dataset, origin)


def _without_lesion(source: SourceFrame, common: dict[str, Any], obstacle: str | None) -> Any:
    """The group that says of the image that nothing was found, or why it could not be evaluated."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    number = source.frame_number
    image = sr.SourceImageForMeasurementGroup(
        SINGLE_FRAME_ULTRASOUND if number is None else MULTI_FRAME_ULTRASOUND,
        str(source.header.SOPInstanceUID),
        None if number is None else [number],
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        source_images=[image],
        qualitative_evaluations=[_evaluation("nothing found" if obstacle is None else "not evaluable")],
        **common,
    )
    contains = sr.RelationshipTypeValues.CONTAINS
    for text in (NOTICE, *([] if obstacle is None else [f"The image could not be evaluated: {obstacle}"])):
        group[0].ContentSequence.append(sr.TextContentItem(codes.DCM.Comment, text, contains))
    return group


def _evaluation(decision: str) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    return sr.QualitativeEvaluation(codes.DCM.Finding, sr.CodedConcept(*EVALUATIONS[decision]))


def _beliefs(trust: float | None, intervals: Mapping[str, Interval]) -> list[Any]:
    """Trust, and both ends of each interval, as measurements."""
    from highdicom import sr

    found = []
    if trust is not None:
        concept = sr.CodedConcept("TRUST", SCHEME, "Estimated Dice coefficient of the segmentation")
        found.append(sr.Measurement(concept, round(trust, 4), sr.CodedConcept("1", "UCUM", "no units")))
    for name, interval in intervals.items():
        for end, meaning, size in (("LOW", "lower", interval.low), ("HIGH", "upper", interval.high)):
            words = f"{name.replace('_', ' ').capitalize()}, {meaning} end of the {interval.level:.0%} interval"
            concept = sr.CodedConcept(f"{name.upper()}_{end}", SCHEME, words)
            found.append(_measurement(concept, size))
    return found


def _measurement(name: Any, size: Quantity, *lines: Any) -> Any:
    from highdicom import sr

    code, meaning = UNITS[size.unit]
    unit = sr.CodedConcept(code, "UCUM", meaning)
    return sr.Measurement(name, round(size.value, 4), unit, referenced_coordinates=lines or None)


def _segment(segmentation: Dataset, source: SourceFrame) -> Any:
    """The one segment of the SEG, which must be of the source's frame."""
    from highdicom import sr

    images = segmentation.get("SourceImageSequence") or ()
    made_of = [(item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) for item in images]
    if made_of != [(source.header.SOPInstanceUID, source.frame_number)]:
        rule = f"must be made of {source.name}" + ("" if source.frame is None else f", frame {source.frame}")
        raise InputError("segmentation", rule, got="that of another picture")
    number = source.frame_number
    image = sr.SourceImageForSegmentation(
        SINGLE_FRAME_ULTRASOUND if number is None else MULTI_FRAME_ULTRASOUND,
        str(source.header.SOPInstanceUID),
        None if number is None else [number],
    )
    uids = str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID)
    reference = sr.ReferencedSegmentationFrame(*uids, frame_number=1, segment_number=1, source_image=image)
    # A reference names frames or segments, not both (PS3.3, 10.8); of the one frame the segment is what counts.
    del reference[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return reference


def _comments(measurements: Measurements, decision: str | None, no_scale: str, remarks: Sequence[str]) -> list[Any]:
    """What the numbers alone would hide."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    comments = [NOTICE, *remarks]
    if decision == "doubtful":
        comments.append("The segmentation is doubtful: a person must look at it")
    if measurements.spacing is None:
        comments.append(f"Sizes are in pixels: {no_scale}")
    if measurements.at_border:
        comments.append("The lesion touches the border of the image: its sizes are lower bounds")
    if measurements.components > 1:
        comments.append(f"The largest of {measurements.components} separate parts is measured")
    contains = sr.RelationshipTypeValues.CONTAINS
    return [sr.TextContentItem(codes.DCM.Comment, text, contains) for text in comments]


def _spatial_coordinates(points: ArrayLike, source: SourceFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """From (row, column), whole at pixel centres, to (column, row), whole at pixel edges."""
    moved = np.asarray(points, np.float64)[:, ::-1] + 0.5
    rows, columns = source.shape
    inside = np.clip(moved, 0, (columns, rows))
    if np.abs(moved - inside).max() > 1e-6:  # what rounding leaves outside is none
        rule = f"must lie within the {rows} rows and {columns} columns of {source.name}"
        raise InputError("measurements", rule, fix="Measure the mask of this image, in its own size")
    return inside
