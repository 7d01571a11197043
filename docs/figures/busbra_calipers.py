"""Draw docs/images/busbra_calipers.png: distances of burned-in calipers against the millimetres printed beside them.

Run it from the repository root, with the folder of BUS-BRA: ``python docs/figures/busbra_calipers.py BUSBRA``. It
prints the numbers of docs/benchmarks.md.

``busbra_calipers.csv`` holds what was read off the pictures by eye, each mark then moved to the place nearby where a
cross of its size correlates best, and looked at again, enlarged: column and row of both marks (pixel centres are whole
numbers) and the printed value. ``caliper`` is a pair of marks with its distance (1: plus signs, 2: crosses), ``scale``
two marks of a depth scale. Pictures of folds 1 to 3 only; fold 4 is the test split.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import least_squares

from monai_lesion.measures.sizes import measure

HERE = Path(__file__).resolve().parent
TABLE = HERE / "busbra_calipers.csv"
OUTPUT = HERE.parent / "images" / "busbra_calipers.png"
FINE = 10.0  # px/mm; between the two depth settings of the GE Logiq 5, whose distances lie near 8 and near 12
COLOURS = {"fine": (0, 114, 178), "coarse": (213, 94, 0), "scale": (120, 120, 120)}
LONG, SHORT = (0, 114, 178), (204, 121, 167)
SIZE, EDGE, SHARP = 480, 70, 2  # of a panel and its margins, pixels; drawn larger and then reduced


@dataclass(frozen=True)
class Distance:
    """One printed distance: how far its marks lie apart in the picture, and the millimetres beside it."""

    image: str
    device: str
    kind: str
    apart: tuple[float, float]  # rows, columns
    printed: float

    @property
    def pixels(self) -> float:
        """Distance of the marks, pixels taken for square."""
        return float(np.hypot(*self.apart))

    @property
    def setting(self) -> str:
        """Depth setting of the scanner, by its pixels per millimetre; or ``scale``."""
        if self.kind == "scale":
            return "scale"
        return "fine" if self.pixels / self.printed > FINE else "coarse"


def read(path: Path = TABLE) -> list[Distance]:
    """The table."""
    with path.open(encoding="utf-8") as lines:
        return [
            Distance(
                row["image"],
                row["device"],
                row["kind"],
                (
                    float(row["row_2"]) - float(row["row_1"]),
                    float(row["column_2"]) - float(row["column_1"]),
                ),
                float(row["printed_mm"]),
            )
            for row in csv.DictReader(lines)
        ]


def fit(distances: list[Distance]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column step in mm that explain the printed values best, and what is left over, in mm."""
    apart = np.array([each.apart for each in distances])
    printed = np.array([each.printed for each in distances])
    found = least_squares(lambda steps: np.hypot(*(apart * steps).T) - printed, [0.1, 0.1], xtol=1e-12, ftol=1e-12)
    return np.asarray(found.x), np.asarray(found.fun)


def compare(distances: list[Distance], steps: dict[str, NDArray[np.float64]], folder: Path) -> NDArray[np.float64]:
    """For pictures with two printed distances: the longer, the shorter, our long and short axis of the mask, in mm."""
    pairs: dict[str, list[Distance]] = {}
    for each in distances:
        if each.kind == "caliper":
            pairs.setdefault(each.image, []).append(each)
    rows = []
    for image, pair in pairs.items():
        if len(pair) == 2:
            mask = np.asarray(Image.open(folder / "Masks" / f"{image.replace('bus_', 'mask_')}.png")) > 0
            sizes = measure(mask, [float(step) for step in steps[pair[0].setting]])
            longer, shorter = sorted((each.printed for each in pair), reverse=True)
            rows.append((longer, shorter, sizes.long_axis.value, sizes.short_axis.value))
    return np.array(rows)


def panel(title: str, x: str, y: str, span: tuple[float, float], step: tuple[float, float]) -> Image.Image:
    """An empty plot: axes from 0 to ``span``, a line each ``step``."""
    sheet = Image.new("RGB", (SIZE * SHARP, SIZE * SHARP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13 * SHARP)
    for value in np.arange(0, span[0] + 1e-9, step[0]):
        column, bottom = place((float(value), 0.0), span)
        draw.line([column, place((0.0, span[1]), span)[1], column, bottom], fill=(226, 226, 226), width=SHARP)
        draw.text((column, bottom + 6 * SHARP), f"{value:g}", fill="black", font=font, anchor="ma")
    for value in np.arange(0, span[1] + 1e-9, step[1]):
        left, row = place((0.0, float(value)), span)
        draw.line([left, row, place((span[0], 0.0), span)[0], row], fill=(226, 226, 226), width=SHARP)
        draw.text((left - 6 * SHARP, row), f"{value:g}", fill="black", font=font, anchor="rm")
    draw.text((SIZE * SHARP / 2, 14 * SHARP), title, fill="black", font=font, anchor="ma")
    draw.text((SIZE * SHARP / 2, (SIZE - 32) * SHARP), x, fill="black", font=font, anchor="ma")
    label = Image.new("RGB", (SIZE * SHARP, 24 * SHARP), "white")
    ImageDraw.Draw(label).text((SIZE * SHARP / 2, 2 * SHARP), y, fill="black", font=font, anchor="ma")
    sheet.paste(label.rotate(90, expand=True), (4 * SHARP, 0))
    return sheet


def place(point: tuple[float, float], span: tuple[float, float]) -> tuple[float, float]:
    """Where a pair of values lies on a panel."""
    inner = SIZE - EDGE - 25, SIZE - 2 * EDGE + 20
    return (
        (EDGE + point[0] / span[0] * inner[0]) * SHARP,
        (EDGE - 20 + (1 - point[1] / span[1]) * inner[1]) * SHARP,
    )


def dots(sheet: Image.Image, points: NDArray[np.float64], span: tuple[float, float], colour: tuple[int, ...]) -> None:
    """A ring for each point."""
    draw = ImageDraw.Draw(sheet)
    for point in points:
        x, y = place((float(point[0]), float(point[1])), span)
        draw.ellipse([x - 6, y - 6, x + 6, y + 6], outline=colour, width=2)


def legend(sheet: Image.Image, lines: list[tuple[str, tuple[int, ...]]], corner: tuple[int, int]) -> None:
    """Names in the colours of their points."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12 * SHARP)
    for number, (text, colour) in enumerate(lines):
        draw.text((corner[0] * SHARP, (corner[1] + 17 * number) * SHARP), text, fill=colour, font=font)


def main() -> None:
    """Print the numbers and draw both panels."""
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "Masks").is_dir():
        raise SystemExit("Name the folder of BUS-BRA, which holds Masks/")
    distances, write = read(), sys.stdout.write
    steps = {}
    left = panel(
        "Burned-in marks", "printed distance, mm", "distance of the marks, px", span := (40.0, 420.0), (10.0, 100.0)
    )
    names = []
    for setting, colour in COLOURS.items():
        group = [each for each in distances if each.setting == setting]
        points = np.array([(each.printed, each.pixels) for each in group])
        device = " and ".join(sorted({each.device for each in group}))
        images = len({each.image for each in group})
        if setting == "scale":
            each_image = points[:, 1] / points[:, 0]
            ratios = f"{each_image.min():.2f} to {each_image.max():.2f} px/mm, median {np.median(each_image):.2f}"
            write(f"{device}: {images} depth scales, {ratios}\n")
            names.append((f"{device}, depth scale", colour))
        else:
            steps[setting], rest = fit(group)
            down, across = 1 / steps[setting]
            write(
                f"{device}, {setting}: {len(group)} distances in {images} images: {across:.2f} px/mm across, "
                f"{down:.2f} down; steps {steps[setting][0]:.4f} and {steps[setting][1]:.4f} mm; left over "
                f"{np.sqrt(np.mean(rest**2)):.3f} mm (root mean square), {np.abs(rest).max():.2f} mm (largest), "
                f"{np.mean(np.abs(rest) <= 0.1):.0%} within 0.1 mm\n"
            )
            names.append((f"{device}, {across:.1f} px/mm across, {down:.1f} down", colour))
            for ratio in (across, down):
                end = min(span[0], span[1] / ratio)
                ImageDraw.Draw(left).line(
                    [place((0.0, 0.0), span), place((end, end * ratio), span)], fill=colour, width=SHARP
                )
        dots(left, points, span, colour)
    legend(left, names, (EDGE + 10, EDGE - 14))

    rows = compare(distances, steps, Path(sys.argv[1]))
    right = panel(
        "Axes of the reference mask", "printed distance, mm", "our axis, mm", span := (40.0, 40.0), (10.0, 10.0)
    )
    ImageDraw.Draw(right).line([place((0.0, 0.0), span), place(span, span)], fill=(90, 90, 90), width=SHARP)
    for name, printed, ours, colour in (("long axis", 0, 2, LONG), ("short axis", 1, 3, SHORT)):
        more = rows[:, ours] - rows[:, printed]
        share = more / rows[:, printed]
        low, middle, high = np.percentile(share, [5, 50, 95])
        write(
            f"{name}, {len(rows)} images: {more.mean():+.2f} mm (standard deviation {more.std():.2f}); "
            f"median {middle:+.1%}, 5 to 95 %: {low:+.1%} to {high:+.1%}; "
            f"correlation {np.corrcoef(rows[:, printed], rows[:, ours])[0, 1]:.3f}\n"
        )
        dots(right, rows[:, [printed, ours]], span, colour)
    legend(
        right,
        [("long axis, longer caliper", LONG), ("short axis, shorter caliper", SHORT), ("equal", (90, 90, 90))],
        (EDGE + 10, EDGE - 14),
    )
    figure = Image.new("RGB", (2 * SIZE, SIZE), "white")
    for number, sheet in enumerate((left, right)):
        figure.paste(sheet.resize((SIZE, SIZE), Image.Resampling.LANCZOS), (number * SIZE, 0))
    figure.quantize(128).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    main()
