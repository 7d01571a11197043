"""Draw docs/images/measurements.png: what is measured in the two views of a simulated case.

Run it from the repository root: ``python docs/figures/measurements.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monai_lesion.measures.sizes import CaseMeasurements, Measurements, Point, measure_case
from monai_lesion.phantoms.cases import SimulatedView, simulate_case

OUTPUT = Path(__file__).resolve().parents[1] / "images" / "measurements.png"
SEED, CASE = 0, 28
SCALE, WINDOW, CAPTION = 2, (316, 290), 100  # enlargement; rows and columns shown; height of the text, pixels
OUTLINE, A, B, C, GREY = (90, 220, 120), (255, 190, 60), (90, 190, 255), (255, 120, 200), (190, 190, 190)
FONT = ImageFont.load_default(size=18)


def main() -> None:
    """Draw both views side by side, the one that gives a and b first."""
    case = simulate_case(SEED, CASE)
    sizes = measure_case({view.view: (view.mask, view.spacing) for view in case.views})
    views = sorted(case.views, key=lambda view: view.view != sizes.plane)
    panels = [panel(view, sizes) for view in views]
    figure = Image.new("RGB", (sum(each.width for each in panels) + 12, panels[0].height), "white")
    left = 0
    for each in panels:
        figure.paste(each, (left, 0))
        left += each.width + 12
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    figure.quantize(128).save(OUTPUT, optimize=True)


def panel(view: SimulatedView, case: CaseMeasurements) -> Image.Image:
    """One view: the picture cut around the lesion and enlarged, its lines, and the numbers below."""
    found = case.views[view.view]
    if found is None or case.volume is None or case.volume_ml is None:
        raise SystemExit("the simulated case must hold a lesion in both views")
    rows, columns = WINDOW
    left = int(np.clip(found.centroid[1] - columns / 2, 0, view.mask.shape[1] - columns))
    picture = Image.fromarray(view.pixels[:rows, left : left + columns])
    picture = picture.resize((columns * SCALE, rows * SCALE), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (picture.width, picture.height + CAPTION), (24, 24, 24))
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)

    def place(point: Point) -> tuple[float, float]:
        return (point[1] - left + 0.5) * SCALE, (point[0] + 0.5) * SCALE

    def line(ends: tuple[Point, Point], colour: tuple[int, int, int], name: str = "") -> None:
        draw.line([place(end) for end in ends], fill=colour, width=3)
        for end in ends:
            x, y = place(end)
            draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
        if name:
            x, y = place((ends[1][0], ends[1][1]))
            draw.text((x + 8, y - 8), name, fill=colour, font=FONT, stroke_width=2, stroke_fill=(0, 0, 0))

    draw.polygon([place((row, column)) for row, column in found.contour], outline=OUTLINE, width=2)
    shallowest, deepest, leftmost, rightmost = extremes(found)
    highest = float(found.contour[found.contour[:, 0].argmin(), 1])
    line(((-0.5, highest), (shallowest, highest)), GREY, "depth")
    if view.view == case.plane:
        line(found.long_axis_ends, A, "a")
        line(found.short_axis_ends, B, "b")
        numbers = [(f"a = long axis {found.long_axis}", A), (f"b = short axis {found.short_axis}", B)]
    else:
        below = deepest + 9
        line(((below, leftmost), (below, rightmost)), C, "c")
        for column in (leftmost, rightmost):
            draw.line([place((found.centroid[0], column)), place((below, column))], fill=C, width=1)
        volume = f"volume = pi/6 · a · b · c = {case.volume_ml}"
        numbers = [(f"c = width across the beam {found.width}", C), (volume, (255, 255, 255))]
    numbers.append((f"area {found.area}   perimeter {found.perimeter}   depth {found.depth}", OUTLINE))
    draw.text((10, 8), f"{view.view} view", fill=(255, 255, 255), font=FONT, stroke_width=2, stroke_fill=(0, 0, 0))
    for number, (text, colour) in enumerate(numbers):
        plain = text.replace("²", "2")  # which Pillow's own font lacks
        draw.text((10, picture.height + 8 + 29 * number), plain, fill=colour, font=FONT)
    return canvas


def extremes(found: Measurements) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of the outline in pixels."""
    (top, left), (bottom, right) = found.contour.min(axis=0), found.contour.max(axis=0)
    return float(top), float(bottom), float(left), float(right)


if __name__ == "__main__":
    main()
