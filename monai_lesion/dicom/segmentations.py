"""DICOM Segmentation: the mask as a separate object, which viewers show over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from monai_lesion.dicom.files import require_highdicom
from monai_lesion.dicom.identity import (
    LONGEST_NAME,
    Algorithm,
    creation,
    replaced_images,
    seal,
    stable_uid,
    stand_in,
    tracking,
)
from monai_lesion.dicom.sources import Source, SourceFrame, open_source
from monai_lesion.errors import InputError
from monai_lesion.images.silence import quiet
from monai_lesion.measures.masks import checked_steps

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = ("binary", "labelmap")
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # their classes
GEOMETRIES = ("none", "picture")
AXES = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # along a row, then along a column: of the picture, not of a patient
NOMINAL = 1.0  # millimetres: the thickness of what has none, and the pixels of a picture without a scale


@quiet()  # what pydicom finds odd in the source it quotes
def segmentation(
    source: Source,
    mask: ArrayLike,
    algorithm: Algorithm,
    *,
    frame: int | None = None,
    kind: str = "binary",
    geometry: str = "none",
    spacing: Sequence[float] | None = None,
    remarks: Sequence[str] = (),
    replaces: Sequence[Dataset] = (),
) -> Dataset:
    """Make a SEG of one frame's mask.

    The one segment is a lesion (SNOMED CT 52988006), a morphologically abnormal structure. An empty mask gives a frame
    of zeros, and the description says that no lesion was found: that too is a result.

    Args:
        source: ultrasound or secondary capture image, retired classes too; a file, its dataset, or what
            :func:`~monai_lesion.dicom.sources.open_source` made of it.
        mask: 0 and 1, in the source's size.
        algorithm: the algorithm that made the mask.
        frame: index of the frame, counted from 0; required if the source has several.
        kind: ``"binary"``, which every viewer of segmentations reads, or ``"labelmap"`` (since 2024).
        geometry: ``"none"`` says nothing of a place, for an ultrasound has none: only that rows and columns are the
            picture's own axes, without which Cornerstone3D (OHIF) reads no SEG. ``"picture"`` adds what dcmqi (3D
            Slicer) cannot read without: a frame of reference of the picture's own, its first pixel as the origin, and
            the size of its pixels. It is no place in the patient.
        spacing: row and column step in millimetres, for ``geometry="picture"``; None gives pixels of 1 mm.
        remarks: what whoever sees the mask must know, for the description of the segment and, the first, of the object.
        replaces: earlier segmentations of the picture, which the new one refers to as replaced (Referenced Image
            Sequence); of each its class and the identifiers of series and object are read.

    Shape:
        - mask: ``(H, W)``

    Raises:
        InputError: when the mask has another size than the source, the frame is missing or does not exist, the source
            is not an ultrasound image or lacks an identifier, the kind or geometry is unknown, or highdicom is absent.

    Source:
        DICOM PS3.3, A.51 (Segmentation IOD), C.8.20, C.7.4.1 and C.7.6.16.2.1 to C.7.6.16.2.4; C.12.2 and C.12.4
        for what is referred to; PS3.16, CID 7150 and CID 7159. No code of CID 7201 says "replaced", so it is ours.

    Example:
        >>> import pydicom
        >>> source = pydicom.Dataset()
        >>> source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
        >>> source.SOPInstanceUID, source.SeriesInstanceUID, source.StudyInstanceUID = "1.2.3", "1.2.4", "1.2.5"
        >>> source.Rows = source.Columns = 2
        >>> seg = segmentation(source, [[0, 1], [1, 1]], Algorithm("a network", "0.1.0", "9f86d0"))
        >>> seg.SegmentSequence[0].SegmentLabel, seg.pixel_array.tolist()
        ('Lesion', [[0, 1], [1, 1]])
    """
    require_highdicom()
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    for name, value, known in (("kind", kind, KINDS), ("geometry", geometry, GEOMETRIES)):
        if value not in known:
            raise InputError(name, f"must be one of {', '.join(known)}", got=value)
    origin = open_source(source, frame)
    pixels = origin.checked_mask(mask)
    tracking_id, tracking_uid = tracking(origin, algorithm)
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        if "edited" in algorithm.settings
        else SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.DCM.ArtificialIntelligence,
            version=algorithm.version_text,
            parameters=algorithm.parameters,
        ),
        tracking_id=tracking_id,
        tracking_uid=tracking_uid,
    )
    dataset = Segmentation(
        source_images=[stand_in(origin)],
        pixel_array=pixels,
        segmentation_type=kind.upper(),
        segment_descriptions=[segment],
        content_label="LESION",
        content_description=_description(bool(pixels.any()), remarks),
        series_description="Lesion segmentation, research use only",
        omit_empty_frames=False,
        **creation(origin, algorithm, "SEG" if kind == "binary" else "LABELMAP"),
    )
    dataset.PatientOrientation = None  # type 2C, and an ultrasound has none; dciodvfy asks for it
    if remarks:
        dataset.SegmentSequence[-1].SegmentDescription = "; ".join(remarks)
    _organise(dataset, origin)
    if replaces:
        _refer(dataset, replaces)
    _place(dataset, origin, checked_steps(spacing) if geometry == "picture" else None)
    return seal(dataset, origin)


def _description(found: bool, remarks: Sequence[str]) -> str:
    if not found:
        return "No lesion found"
    return remarks[0][:LONGEST_NAME] if remarks else "Lesion"


def _organise(dataset: Dataset, source: SourceFrame) -> None:
    """Give the dimensions an identifier that is not random, and name the frame of a cine."""
    from pydicom import Dataset

    organisation = stable_uid("dimensions", source.header.SOPInstanceUID, source.frame)
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    if source.frame_number is None:
        return
    derivation = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    derivation.SourceImageSequence[0].ReferencedFrameNumber = source.frame_number
    image = Dataset()  # a new item: highdicom's is also one of ReferencedSeriesSequence, which names no frames
    image.update(dataset.SourceImageSequence[0])
    image.ReferencedFrameNumber = source.frame_number
    dataset.SourceImageSequence = [image]


def _refer(dataset: Dataset, replaces: Sequence[Dataset]) -> None:
    """Name earlier segmentations as replaced, and list their series behind the picture's, which readers take first."""
    from pydicom import Dataset

    series = list(dataset.ReferencedSeriesSequence)
    for earlier in replaces:
        listed, place = Dataset(), Dataset()
        listed.ReferencedSOPClassUID, listed.ReferencedSOPInstanceUID = earlier.SOPClassUID, earlier.SOPInstanceUID
        place.SeriesInstanceUID, place.ReferencedInstanceSequence = earlier.SeriesInstanceUID, [listed]
        series.append(place)
    dataset.ReferencedSeriesSequence = series
    dataset.ReferencedImageSequence = replaced_images(replaces, "Segmentation")


def _place(dataset: Dataset, source: SourceFrame, steps: Any) -> None:
    """Say that rows and columns are the picture's own axes; with steps, also what a reader needs of a frame in space.

    Args:
        dataset: the SEG.
        source: its source.
        steps: row and column step in millimetres; None says no more than the axes.
    """
    from pydicom import Dataset

    def item(**values: Any) -> list[Dataset]:
        made = Dataset()
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return [made]

    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=AXES)
    if steps is None:
        return
    shared.PixelMeasuresSequence = item(
        PixelSpacing=[round(float(step), 9) for step in steps], SliceThickness=NOMINAL, SpacingBetweenSlices=NOMINAL
    )
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence = item(ImagePositionPatient=[0.0, 0.0, 0.0])
    dataset.FrameOfReferenceUID = stable_uid("frame of reference", source.header.SOPInstanceUID, source.frame)
    dataset.PositionReferenceIndicator = None  # of no known point of the patient
