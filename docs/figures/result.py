"""Draw docs/images/result.png: what `monai-lesion predict --formats overlay,json` gives for one simulated DICOM file.

Run it from the repository root: ``python docs/figures/result.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont

from monai_lesion import LesionSegmenter
from monai_lesion.models.presets import load_preset
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

OUTPUT = Path(__file__).resolve().parents[1] / "images" / "result.png"
SEED, CASE = 0, 0
MARGIN, LINE, COLUMN = 14, 34, 150  # pixels
TEXT, GREY, PAPER = (235, 235, 235), (150, 190, 185), (24, 24, 24)
FONT = ImageFont.load_default(size=21)


def main() -> None:
    """Segment one view with the network that comes with the package, and write what its JSON says below the overlay."""
    case = simulate_case(SEED, CASE)
    view = case.views[0]
    with TemporaryDirectory() as folder:
        scan = Path(folder, "scan.dcm")
        write_dicom(scan, case, view, seed=SEED)
        LesionSegmenter.from_preset()(scan).save(folder, formats=["overlay", "json"])
        overlay = Image.open(Path(folder, "scan_overlay.png")).convert("RGB")
        result = json.loads(Path(folder, "scan.json").read_text(encoding="utf-8"))
    panel = text_panel(result, overlay.width)
    figure = Image.new("RGB", (overlay.width, overlay.height + panel.height))
    figure.paste(overlay, (0, 0))
    figure.paste(panel, (0, overlay.height))
    figure.quantize(128).save(OUTPUT, optimize=True)


def text_panel(result: dict, width: int) -> Image.Image:
    """What a reader looks for first."""
    sizes = result["measurements"]
    lines = {
        "long axis": "{value:.1f} {unit}".format(**sizes["long_axis"]),
        "short axis": "{value:.1f} {unit}".format(**sizes["short_axis"]),
        "area": "{value:.0f} mm2".format(**sizes["area"]),
        "scale": result["calibration"],
        "decision": f"{result['decision']}, trust {result['trust']:.2f}",
        "network": f"{load_preset().description.name}, {result['runtime']}",
    }
    panel = Image.new("RGB", (width, 2 * MARGIN + LINE * len(lines)), PAPER)
    draw = ImageDraw.Draw(panel)
    for number, (key, value) in enumerate(lines.items()):
        place = MARGIN + number * LINE
        draw.text((MARGIN, place), key, fill=GREY, font=FONT)
        draw.text((MARGIN + COLUMN, place), value, fill=TEXT, font=FONT)
    return panel


if __name__ == "__main__":
    main()
