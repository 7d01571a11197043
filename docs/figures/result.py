"""Draw docs/images/result.png: what `monai-lesion predict --formats overlay,json` gives for one simulated DICOM file.

Run it from the repository root: ``python docs/figures/result.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont

from monai_lesion import LesionSegmenter
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

OUTPUT = Path(__file__).resolve().parents[1] / "images" / "result.png"
SEED, CASE = 0, 0
TEXT_WIDTH, GAP, LINE = 490, 8, 32  # pixels
FONT = ImageFont.load_default(size=17)


def main() -> None:
    """Segment one view with the network that comes with the package, and lay the files side by side."""
    case = simulate_case(SEED, CASE)
    view = case.views[0]
    with TemporaryDirectory() as folder:
        scan = Path(folder, "scan.dcm")
        write_dicom(scan, case, view, seed=SEED)
        LesionSegmenter.from_preset()(scan).save(folder, formats=["overlay", "json"])
        overlay = Image.open(Path(folder, "scan_overlay.png")).convert("RGB")
        result = json.loads(Path(folder, "scan.json").read_text(encoding="utf-8"))
    figure = Image.new("RGB", (overlay.width + GAP + TEXT_WIDTH, overlay.height), "white")
    figure.paste(overlay, (0, 0))
    figure.paste(text_panel(result, overlay.height), (overlay.width + GAP, 0))
    figure.quantize(128).save(OUTPUT, optimize=True)


def text_panel(result: dict, height: int) -> Image.Image:
    """The lines of the JSON that a reader looks for first, as they stand in the file."""
    sizes = result["measurements"]
    lines = [f'"{key}": {json.dumps(result[key])}' for key in ("image", "found", "mean_probability", "calibration")]
    for key in ("long_axis", "short_axis", "area"):
        lines.append(f'"{key}": {json.dumps({part: sizes[key][part] for part in ("value", "unit")})}')
    lines += [f'"{key}": {json.dumps(result[key])}' for key in ("network", "runtime", "input_size", "notice")]
    panel = Image.new("RGB", (TEXT_WIDTH, height), (24, 24, 24))
    draw = ImageDraw.Draw(panel)
    for number, line in enumerate(lines):
        draw.text((14, 14 + number * LINE), line, fill=(220, 220, 220), font=FONT)
    return panel


if __name__ == "__main__":
    main()
