"""DICOM Segmentation: the mask as an object of its own, which viewers lay over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from monai_lesion.dicom.files import require_highdicom
from monai_lesion.dicom.identity import Algorithm, creation, seal, stable_uid, stand_in, tracking
from monai_lesion.dicom.sources import Source, SourceFrame, open_source
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_headers import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = ("binary", "labelmap")


@quiet()  # what pydicom finds odd in the source it quotes
def segmentation(
    source: Source,
    mask: ArrayLike,
    algorithm: Algorithm,
    *,
    frame: int | None = None,
    kind: str = "binary",
) -> Dataset:
    """Make a SEG of one frame's mask.

    The one segment is a lesion (SNOMED CT 52988006), a morphologically abnormal structure. An empty mask gives a frame
    of zeros, and the description says that no lesion was found: that too is a result.

    Args:
        source: ultrasound or secondary capture image, retired classes too; a file, its dataset, or what
            :func:`~monai_lesion.dicom.sources.open_source` made of it.
        mask: 0 and 1, of the source's size.
        algorithm: what made the mask.
        frame: index from 0; needed when the source has several frames.
        kind: ``"binary"``, which every viewer of segmentations reads, or ``"labelmap"`` (since 2024).

    Shape:
        - mask: ``(H, W)``

    Raises:
        InputError: when the mask is not of the source's size, the frame is missing or does not exist, the source is not
            an ultrasound image or lacks an identifier, or highdicom is absent.

    Source:
        DICOM PS3.3, A.51 (Segmentation IOD) and C.8.20; PS3.16, CID 7150 and 7159.

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

    if kind not in KINDS:
        raise InputError("kind", f"must be one of {', '.join(KINDS)}", got=kind)
    origin = open_source(source, frame)
    pixels = origin.checked_mask(mask)
    tracking_id, tracking_uid = tracking(origin, algorithm)
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
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
        content_description="Lesion" if pixels.any() else "No lesion found",
        series_description="Lesion segmentation, research use only",
        omit_empty_frames=False,
        **creation(origin, algorithm, "SEG" if kind == "binary" else "LABELMAP"),
    )
    dataset.PatientOrientation = None  # type 2C, and an ultrasound has none; dciodvfy asks for it
    _organise(dataset, origin)
    return seal(dataset, origin)


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
