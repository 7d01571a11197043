"""Print the errors of docs/benchmarks.md: of the outline on ellipses, of the ellipsoid as a model.

Run it from the repository root: ``python docs/figures/measurement_errors.py``. It takes some minutes, most of them for
the 120 simulated cases.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from scipy.special import ellipe

from monai_lesion.measures.outlines import axes_of
from monai_lesion.measures.sizes import measure, measure_case

# Shapes without their pictures, and axes of outlines without pixels: nobody else needs either.
from monai_lesion.phantoms.cases import ANGLES, LesionShape, SimulatedCase, _draw_shape, simulate_case

Floats = NDArray[np.float64]
Ellipse = tuple[NDArray[np.bool_], float, float, float]  # mask, semi-axes, angle from the rows' axis
GROUPS = {"6 to 20": (300, 6, 20), "20 to 60": (300, 20, 60), "60 to 150": (80, 60, 150)}
SQUARE = (1.0, 1.0)
CASES, SHAPES, PLANES, DEPTHS = 60, 1000, 36, (22.0, 44.0)  # DEPTHS: of the simulator's pictures, mm


def show(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def ellipses(seed: int, count: int, low: float, high: float, steps: tuple[float, float]) -> Iterator[Ellipse]:
    """Ellipses at random angles and places; semi-axes in units of the larger step."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        a, ratio, angle = rng.uniform(low, high) * max(steps), rng.uniform(0.35, 0.95), rng.uniform(0, np.pi)
        size = [int(2 * a / step) + 9 for step in steps]
        down, right = np.indices(size) - np.reshape(np.array(size) / 2 + rng.uniform(-0.5, 0.5, 2), (2, 1, 1))
        down, right = down * steps[0], right * steps[1]
        along, across = down * np.cos(angle) + right * np.sin(angle), right * np.cos(angle) - down * np.sin(angle)
        yield (along / a) ** 2 + (across / (a * ratio)) ** 2 <= 1, a, a * ratio, angle


def errors(found: Ellipse, steps: tuple[float, float]) -> dict[str, list[float]]:
    """Errors of one ellipse: lengths in larger steps, area and perimeter as shares."""
    mask, a, b, angle = found
    sizes, step = measure(mask, steps), max(steps)
    height = 2 * math.hypot(a * math.cos(angle), b * math.sin(angle))
    width = 2 * math.hypot(a * math.sin(angle), b * math.cos(angle))
    return {
        "long axis": [(sizes.long_axis.value - 2 * a) / step],
        "short axis": [(sizes.short_axis.value - 2 * b) / step],
        "width, height": [(sizes.width.value - width) / step, (sizes.height.value - height) / step],
        "area": [sizes.area.value / (math.pi * a * b) - 1],
        "perimeter": [sizes.perimeter.value / (4 * a * ellipe(1 - (b / a) ** 2)) - 1],
    }


def collect(found: Iterator[Ellipse], steps: tuple[float, float]) -> dict[str, Floats]:
    """Errors of many ellipses."""
    each = [errors(ellipse, steps) for ellipse in found]
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


def square_pixels() -> None:
    """The table of ellipses, and the long axis by two other conventions."""
    groups = {name: collect(ellipses(1, *group, SQUARE), SQUARE) for name, group in GROUPS.items()}
    show("| mean error (largest) | " + " | ".join(f"a = {name}" for name in GROUPS) + " |")
    for name in groups["6 to 20"]:
        values = [(group[name].mean(), np.abs(group[name]).max()) for group in groups.values()]
        form = "{:+.1%} ({:.2%})" if name in ("area", "perimeter") else "{:+.2f} ({:.2f})"
        show(f"| {name} | " + " | ".join(form.format(*value) for value in values) + " |")
    corners = np.array([(i, j) for i in (-0.5, 0.5) for j in (-0.5, 0.5)])
    for name, (_, low, high) in GROUPS.items():
        by_centre, by_corner = [], []
        for mask, a, _, _ in ellipses(2, 60, low, high, SQUARE):
            pixels = np.argwhere(mask)
            hull = pixels[ConvexHull(pixels).vertices]
            by_centre.append(pdist(hull).max() - 2 * a)
            by_corner.append(pdist((hull[:, None] + corners).reshape(-1, 2)).max() - 2 * a)
        show(f"long axis, a = {name}, pixel centres {np.mean(by_centre):+.2f} px, corners {np.mean(by_corner):+.2f} px")


def other_pixels() -> None:
    """Rows and columns of different steps, and the promise of one step or 1 %."""
    for steps in ((1.0, 2.0), (3.0, 10.0), (1.0, 5.0)):
        small, large = (collect(ellipses(3, 300, *span, steps), steps) for span in ((6, 20), (20, 60)))
        axes = max(np.abs(group[name]).max() for group in (small, large) for name in ("long axis", "short axis"))
        show(
            f"steps {steps}: axes {axes:.2f} larger steps, perimeter from a = 20 {np.abs(large['perimeter']).max():.2%}"
        )
    worst = 0.0
    for seed, steps in enumerate((SQUARE, (1.0, 2.0), (10.0, 3.0))):
        for ellipse in ellipses(10 + seed, 1000, 15, 60, steps):
            mask, a, b, _ = ellipse
            found = measure(mask, steps)
            for size, true in ((found.long_axis, 2 * a), (found.short_axis, 2 * b)):
                worst = max(worst, abs(size.value - true) / max(0.01 * true, max(steps)))
    show(f"3,000 ellipses, a = 15 to 60: largest error of an axis {worst:.2f} of what is allowed")


def true_volume(shape: LesionShape) -> float:
    """Volume by integration: half planes about the axis along the beam."""
    total, angles = 0.0, ANGLES[:-1]
    for turn in np.arange(PLANES) * np.pi / PLANES:
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        radii = replace(shape, rotation=rotation @ shape.rotation).radii("front", angles)
        total += float((radii**3 / 3 * np.abs(np.cos(angles))).sum())
    return total * np.pi / PLANES * float(angles[1] - angles[0])


def outline(shape: LesionShape, view: str) -> Floats:
    """Points (depth, lateral) in mm."""
    radii = shape.radii(view, ANGLES[:-1])
    return np.column_stack([radii * np.sin(ANGLES[:-1]), radii * np.cos(ANGLES[:-1])])


def model_volume(shape: LesionShape) -> float:
    """The ellipsoid of the axes of both outlines."""
    views = {view: outline(shape, view) for view in ("front", "side")}
    axes = {view: [math.dist(*ends) for ends in axes_of(points)] for view, points in views.items()}
    plane = max(axes, key=lambda view: axes[view][0])
    across = views["side" if plane == "front" else "front"][:, 1]
    return math.pi / 6 * math.prod(axes[plane]) * float(np.ptp(across))


def volumes() -> None:
    """The table of volumes: shapes without pixels."""
    show("| error of the volume | median | 5 % to 95 % | smallest to largest | mean absolute |")
    for name, irregularity in (("ellipsoids", 0.0), ("irregular lesions", None)):
        rng = np.random.default_rng(5)
        shapes = [_draw_shape(rng, rng.uniform(*DEPTHS), irregularity) for _ in range(SHAPES)]
        error = np.array([model_volume(shape) / true_volume(shape) - 1 for shape in shapes])
        low, middle, high = np.percentile(error, [5, 50, 95])
        show(
            f"| {name} | {middle:+.1%} | {low:+.1%} to {high:+.1%} | {error.min():+.0%} to {error.max():+.0%} | "
            f"{np.abs(error).mean():.1%} |"
        )


def simulated_cases() -> None:
    """Masks of simulated cases against their true outlines and volumes."""
    heights, areas = [], []
    by_record, by_outline = [], []  # the simulator's own axes; those of the outline, at a right angle to the last digit
    for name, irregularity in (("ellipsoids", 0.0), ("irregular lesions", None)):
        error = []
        for number in range(CASES):
            case: SimulatedCase = simulate_case(3, number, irregularity=irregularity)
            sizes = measure_case({view.view: (view.mask, view.spacing) for view in case.views})
            if sizes.volume is None or sizes.height_difference is None:
                raise SystemExit(f"case {number}: {sizes.reason}")
            error.append(sizes.volume.value / true_volume(case.shape) - 1)
            heights.append(sizes.height_difference)
            for view in case.views:
                found, points = measure(view.mask, view.spacing), outline(case.shape, view.view)
                for axis, ends in zip(("long_axis", "short_axis"), axes_of(points), strict=True):
                    size, recorded = getattr(found, axis).value, getattr(view, f"{axis}_mm")
                    for shares, true in ((by_record, recorded), (by_outline, math.dist(*ends))):
                        shares.append(abs(size - true) / max(0.01 * true, view.spacing[0]))
                after = np.roll(points, -1, axis=0)
                areas.append(found.area.value / (abs(points[:, 0] @ after[:, 1] - points[:, 1] @ after[:, 0]) / 2) - 1)
        show(f"{CASES} simulated {name}: volume {min(error):+.1%} to {max(error):+.1%}")
    show(f"{len(areas)} views: axes {max(by_record):.2f} of what is allowed, area {np.abs(areas).max():.2%}")
    above = np.count_nonzero(np.array(by_outline) > 1)
    show(f"against the outline's own: {max(by_outline):.2f}; {above} of {len(by_outline)} above 1")
    show(f"height difference: median {np.median(heights):.1%}, 95 % below {np.percentile(heights, 95):.1%}")


if __name__ == "__main__":
    for part in (square_pixels, other_pixels, volumes, simulated_cases):
        part()
