"""DICOM Secondary Capture: a picture of the result, which every viewer shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion._version import NOTICE
from monai_lesion.dicom.files import require_highdicom
from monai_lesion.dicom.identity import MANUFACTURER, Algorithm, creation, lossy_compression, replaced_images, seal
from monai_lesion.dicom.sources import NO_SCALE, Source, SourceFrame, open_source, value_of
from monai_lesion.errors import InputError
from monai_lesion.images.regions import has_other_scales
from monai_lesion.images.silence import quiet
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.sizes import Ends, Measurements

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
AXIS, TEXT, BAND = (255, 210, 60), (235, 235, 235), (0, 0, 0)
MARGIN = 6
PLAIN = str.maketrans("²³", "23")  # Pillow's own font has no raised digits


@quiet()  # what pydicom finds odd in the source it quotes
def secondary_capture(
    source: Source,
    picture: NDArray[np.uint8],
    mask: ArrayLike,
    algorithm: Algorithm,
    *,
    frame: int | None = None,
    measurements: Measurements | None = None,
    one_scale: bool = True,
    no_scale: str = NO_SCALE,
    remarks: Sequence[str] = (),
    verdict: str = "",
    intervals: Mapping[str, Interval] | None = None,
    replaces: Sequence[Dataset] = (),
) -> Dataset:
    """Make a colour picture with the contour, the axes and a band of text below.

    Args:
        source: ultrasound or secondary capture image, retired classes too; a file, its dataset, or what
            :func:`~monai_lesion.dicom.sources.open_source` made of it.
        picture: the frame as it was read.
        mask: 0 and 1, in the source's size.
        algorithm: the algorithm that made the mask.
        frame: index of the frame, counted from 0; required if the source has several.
        measurements: measurements of the mask; None, or an empty mask, gives no sizes.
        one_scale: whether the spacing holds for the whole picture; False omits ``PixelSpacing``, with which a viewer
            would measure wrongly in a region of another scale. It is also left out where the header names an M-mode, a
            spectrum or another part whose scale differs.
        no_scale: why the sizes are in pixels, where they are.
        remarks: lines for the band that whoever reads the sizes must know.
        verdict: decision and trust in words, for the band; empty where they are not known.
        intervals: of the sizes, by the name of the measurement.
        replaces: earlier Secondary Captures of the picture, which the new one refers to as replaced (Referenced Image
            Sequence); of each its class and identifier are read.

    Shape:
        - picture: ``(H, W)`` or ``(H, W, 3)`` uint8 RGB
        - mask: ``(H, W)``

    Returns:
        A dataset whose pixels are ``(H + band, W, 3)``, wider where the text needs it; the upper left ``(H, W)`` is
        the picture, pixel on pixel.

    Raises:
        InputError: when picture or mask has another size than the source, the frame is missing or does not exist, the
            source is not an ultrasound image or lacks an identifier, or highdicom is missing.

    Source:
        DICOM PS3.3, A.8.1 (Secondary Capture Image IOD).
    """
    require_highdicom()
    origin = open_source(source, frame)
    inside = origin.checked_mask(mask)
    grey = np.asarray(picture)
    if grey.dtype != np.uint8 or grey.shape not in (origin.shape, (*origin.shape, 3)):
        rule = f"must be 8-bit, grey or RGB, with the rows and columns {origin.shape} of {origin.name}"
        raise InputError("picture", rule, got=f"{grey.dtype} {grey.shape}")
    lines = _lines(inside, algorithm, measurements, verdict, intervals or {}, no_scale=no_scale, remarks=remarks)
    pixels = draw_result(grey, inside, lines, measurements=measurements)
    dataset = _dataset(origin, pixels, algorithm)
    if (
        one_scale
        and measurements is not None
        and measurements.spacing is not None
        and not has_other_scales(origin.header)
    ):
        dataset.PixelSpacing = [round(step, 9) for step in measurements.spacing]
    if replaces:
        dataset.ReferencedImageSequence = replaced_images(replaces, "Picture")
    return seal(dataset, origin)


def draw_result(
    picture: NDArray[np.uint8], mask: NDArray[np.uint8], lines: Sequence[str], *, measurements: Measurements | None
) -> NDArray[np.uint8]:
    """Draw contour, axes and a band with lines of text below the picture."""
    from PIL import Image, ImageDraw, ImageFont

    from monai_lesion.images.overlays import draw_overlay

    drawn = Image.fromarray(draw_overlay(picture, pred=mask))
    draw = ImageDraw.Draw(drawn)
    if measurements is not None:
        for ends in (measurements.long_axis_ends, measurements.short_axis_ends):
            _draw_axis(draw, ends)
    font = ImageFont.load_default(size=min(22.0, max(11.0, drawn.height / 36)))
    boxes = [font.getbbox(line) for line in lines]
    step = max(box[3] for box in boxes) + MARGIN // 2
    width = max(drawn.width, int(max(box[2] for box in boxes)) + 2 * MARGIN)
    sheet = Image.new("RGB", (width, drawn.height + int(step * len(lines)) + 2 * MARGIN), BAND)
    sheet.paste(drawn, (0, 0))
    band = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        band.text((MARGIN, drawn.height + MARGIN + number * step), line, fill=TEXT, font=font)
    return np.asarray(sheet)


def _draw_axis(draw: Any, ends: Ends) -> None:
    (row, column), (other_row, other_column) = ends
    draw.line([(column, row), (other_column, other_row)], fill=AXIS, width=1)
    for y, x in ends:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=AXIS)


def _lines(
    mask: NDArray[np.uint8],
    algorithm: Algorithm,
    measurements: Measurements | None,
    verdict: str = "",
    intervals: Mapping[str, Interval] = MappingProxyType({}),
    *,
    no_scale: str = NO_SCALE,
    remarks: Sequence[str] = (),
) -> list[str]:
    lines = [verdict] if verdict else []
    if not mask.any():
        lines.append("No lesion found")
    elif measurements is not None:
        sizes = {"long_axis": "Long axis", "short_axis": "Short axis", "area": "Area"}
        told = {
            name: f"{words} {getattr(measurements, name)}" + (f" ({intervals[name]})" if name in intervals else "")
            for name, words in sizes.items()
        }
        lines += [f"{told['long_axis']}   {told['short_axis']}", told["area"]]
        if intervals:
            lines.append(f"In brackets: {next(iter(intervals.values())).level:.0%} intervals")
        if measurements.spacing is None:
            lines.append(f"In pixels: {no_scale}")
        if measurements.at_border:
            lines.append("Touches the border: sizes are lower bounds")
    lines += remarks
    made_by = f"{algorithm.name}, {MANUFACTURER} {algorithm.version_text}"
    return [line.translate(PLAIN) for line in (*lines, made_by, NOTICE)]


def _dataset(source: SourceFrame, pixels: NDArray[np.uint8], algorithm: Algorithm) -> Dataset:
    """Built without highdicom's SCImage, which wants an orientation of the patient that no ultrasound knows."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    made, header = creation(source, algorithm, "SC"), source.header
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if source.frame_number is not None:
        reference.ReferencedFrameNumber = source.frame_number
    values = {
        # General Series, General Equipment
        "Modality": "OT",  # not US, or a search for ultrasound images would find it and segment it again
        "SeriesInstanceUID": made["series_instance_uid"],
        "SeriesNumber": made["series_number"],
        "SeriesDescription": "Lesion overlay, research use only",
        "Manufacturer": made["manufacturer"],
        "ManufacturerModelName": made["manufacturer_model_name"],
        "SoftwareVersions": made["software_versions"],
        "DeviceSerialNumber": made["device_serial_number"],
        # SC Equipment, General Image, General Reference
        "ConversionType": "WSD",
        "ImageType": ["DERIVED", "SECONDARY"],
        "InstanceNumber": made["instance_number"],
        "PatientOrientation": None,
        "ContentDate": made["content_date"],
        "ContentTime": made["content_time"],
        "ImageComments": NOTICE,
        "SourceImageSequence": [reference],
        # Image Pixel
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        # SOP Common
        "SOPClassUID": SECONDARY_CAPTURE,
        "SOPInstanceUID": made["sop_instance_uid"],
    }
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_VR_LITTLE_ENDIAN
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.update(lossy_compression(source))
    side = value_of(header, "ImageLaterality")
    if side in ("L", "R", "B", "U"):
        dataset.ImageLaterality = side
    else:  # type 2C: empty where nobody knows whether the part of the body is one of a pair
        dataset.Laterality = value_of(header, "Laterality") if value_of(header, "Laterality") in ("L", "R") else None
    if value_of(header, "BurnedInAnnotation") in ("YES", "NO"):  # whether pixels name the patient: our text does not
        dataset.BurnedInAnnotation = header.BurnedInAnnotation
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"
    return dataset
