"""Draw what viewers show of our DICOM objects: docs/images/dicom_viewers.png and docs/images/secondary_capture.png.

Run it from the repository root: ``python docs/figures/dicom_objects.py``. It writes SEG, SR and SC of a simulated view
with its exact mask, and draws them from these files alone: the SEG as highdicom reads it, blended over the image as
OHIF and Weasis do; the lines and sizes of the SR; the SC as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from monai_lesion import __version__
from monai_lesion.dicom import Algorithm, measurement_report, secondary_capture, segmentation, write
from monai_lesion.images.readers import read_image
from monai_lesion.measures.sizes import measure
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

IMAGES = Path(__file__).resolve().parents[1] / "images"
SEED, CASE = 7, 0
SEGMENT, OPACITY = np.array([255, 64, 64]), 0.3  # viewers choose a colour of their own
LINE = (255, 230, 80)
CAPTION, BAND = 26, (24, 24, 24)
FONT, LARGE = ImageFont.load_default(size=15), ImageFont.load_default(size=17)

Pixels = NDArray[np.uint8]


def main() -> None:
    """Write the objects, then draw them."""
    with TemporaryDirectory() as folder:
        files = write_objects(Path(folder))
        picture = pydicom.dcmread(files["source"]).pixel_array
        panels = {
            "SEG over its source": blended(picture, files),
            "SR: lines and sizes": measured(picture, files["sr"]),
        }
        Image.fromarray(pydicom.dcmread(files["sc"]).pixel_array).save(IMAGES / "secondary_capture.png", optimize=True)
    rows, columns = picture.shape[:2]
    sheet = Image.new("RGB", (2 * columns + 8, rows + CAPTION), BAND)
    for number, (title, panel) in enumerate(panels.items()):
        left = number * (columns + 8)
        sheet.paste(panel, (left, CAPTION))
        ImageDraw.Draw(sheet).text((left + 8, 4), title, fill="white", font=FONT)
    sheet.quantize(256).save(IMAGES / "dicom_viewers.png", optimize=True)


def write_objects(folder: Path) -> dict[str, Path]:
    """The simulated view and its three objects."""
    case = simulate_case(SEED, CASE)
    view = case.views[0]
    files = {name: folder / f"{name}.dcm" for name in ("source", "seg", "sr", "sc")}
    write_dicom(files["source"], case, view, seed=SEED)
    image, mask = read_image(files["source"]), view.mask.astype(np.uint8)
    sizes = measure(mask, image.spacing)
    algorithm = Algorithm("Exact mask of a simulated case", __version__, sha256(mask.tobytes()).hexdigest())
    seg = segmentation(files["source"], mask, algorithm)
    write(seg, files["seg"])
    write(measurement_report(files["source"], sizes, algorithm, segmentation=seg), files["sr"])
    write(secondary_capture(files["source"], image.pixels, mask, algorithm, measurements=sizes), files["sc"])
    return files


def blended(picture: Pixels, files: dict[str, Path]) -> Image.Image:
    """The segment half transparent over the image that the SEG refers to, with its border."""
    seg = highdicom.seg.segread(files["seg"])
    uid = pydicom.dcmread(files["source"], stop_before_pixels=True).SOPInstanceUID
    mask = seg.get_pixels_by_source_instance([uid], segment_numbers=[1]).squeeze() > 0
    shown = picture.astype(float)
    shown[mask] = (1 - OPACITY) * shown[mask] + OPACITY * SEGMENT
    shown[mask & ~binary_erosion(mask, iterations=2)] = SEGMENT
    panel = Image.fromarray(shown.astype(np.uint8))
    segment = seg.SegmentSequence[0]
    label = f"{segment.SegmentLabel} ({segment.SegmentAlgorithmType.lower()}): {segment.SegmentAlgorithmName}"
    write_text(panel, (10, panel.height - 26), label, tuple(int(value) for value in SEGMENT))
    return panel


def measured(picture: Pixels, file: Path) -> Image.Image:
    """Each measurement's line with its value beside it, and the contour."""
    panel = Image.fromarray(picture)
    draw, colour = ImageDraw.Draw(panel), LINE
    sizes = []
    for item in items(pydicom.dcmread(file)):
        if item.ValueType == "SCOORD":
            # PS3.3, C.18.6: (0, 0) is the outer corner of the first pixel, which Pillow calls (-0.5, -0.5).
            points = np.reshape(item.GraphicData, (-1, 2)) - 0.5
            draw.line([(float(x), float(y)) for x, y in points], fill=colour, width=2)
        if item.ValueType == "NUM":
            value = item.MeasuredValueSequence[0]
            number, unit = float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue
            sizes.append(f"{item.ConceptNameCodeSequence[0].CodeMeaning} {number:.1f} {unit}")
    for number, text in enumerate(sizes):
        write_text(panel, (10, panel.height - 26 - 22 * (len(sizes) - 1 - number)), text, colour)
    return panel


def items(dataset: Any) -> Iterator[Any]:
    """The content items of a report, depth first."""
    for item in dataset.get("ContentSequence", ()):
        yield item
        yield from items(item)


def write_text(panel: Image.Image, corner: tuple[int, int], text: str, colour: tuple[int, ...]) -> None:
    """Text with a dark border, legible on any tissue."""
    ImageDraw.Draw(panel).text(corner, text, fill=colour, font=LARGE, stroke_width=2, stroke_fill=(0, 0, 0))


if __name__ == "__main__":
    main()
