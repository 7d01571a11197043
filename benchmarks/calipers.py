"""Precision and recall of the caliper detector, on simulated cases and against marks made by hand on BUS-BRA.

Run ``python benchmarks/calipers.py`` for the simulated cases (wanted: 0.95 or more) and
``python benchmarks/calipers.py --busbra FOLDER`` for the hand marks of data_manifests/busbra_calipers.csv.
A marker is found when a detection lies within the matching radius of its centre, one detection for one marker; a
dotted line when both of its ends are; a line of text when the boxes share half of the smaller one.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from monai_lesion.calipers import Annotations, draw_calipers, find_annotations
from monai_lesion.calipers.markers import Point
from monai_lesion.images.reading import read_image
from monai_lesion.phantoms.cases import SimulatedView, simulate_case

RADIUS = 5.0  # pixels; an arm is 3 to 8
MARKS = Path(__file__).resolve().parents[1] / "data_manifests" / "busbra_calipers.csv"
SEED = 4711  # of the simulated cases; the detector was made on others
GREYS = (200, 255)  # of the markers drawn on grey pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=60, help="simulated, two views each")
    parser.add_argument("--busbra", type=Path, help="folder of BUS-BRA: score the hand marks instead")
    parser.add_argument("--radius", type=float, default=RADIUS, help="matching radius in pixels")
    options = parser.parse_args()
    if options.busbra:
        hand_marks(options.busbra, options.radius)
        return
    simulated(options.cases, options.radius)


def match(found: Sequence[Point], real: Sequence[Point], radius: float) -> list[tuple[int, int]]:
    """Pairs of detection and truth, one to one, within the radius, as many as possible and as near as possible."""
    if not found or not real:
        return []
    distance = cdist(np.asarray(found, float), np.asarray(real, float))
    pairs = zip(*linear_sum_assignment(np.where(distance <= radius, distance, 1e6)), strict=True)
    return [(int(first), int(second)) for first, second in pairs if distance[first, second] <= radius]


class Count:
    """Found, real and matched of one kind of annotation."""

    def __init__(self) -> None:
        self.found = self.real = self.matched = 0

    def add(self, found: int, real: int, matched: int) -> None:
        """Count one picture."""
        self.found, self.real, self.matched = self.found + found, self.real + real, self.matched + matched

    def __str__(self) -> str:
        precision = self.matched / self.found if self.found else float("nan")
        recall = self.matched / self.real if self.real else float("nan")
        return f"precision {precision:.3f}  recall {recall:.3f}  ({self.matched} of {self.real}, {self.found} found)"


def pictures(cases: int) -> Iterator[tuple[str, np.ndarray, list[Point], list[tuple[Point, Point]], SimulatedView]]:
    """Each view as it is, light blue on colour, and in grey with a marker of random kind, size and brightness."""
    rng = np.random.default_rng(SEED)
    for number in range(cases):
        for view in simulate_case(SEED, number).views:
            ends = list(view.caliper_ends)
            yield "colour", view.pixels, ends, [(ends[i], ends[i + 1]) for i in range(0, len(ends), 2)], view
            if view.calipers:
                continue
            ends = [(round(row), round(column)) for row, column in (*view.long_axis, *view.short_axis)]
            kind = str(rng.choice(["plus", "x"]))
            dotted = bool(rng.uniform() < 0.5)
            drawn = draw_calipers(
                view.pixels[..., 0],
                ends,
                kind=kind,
                arm=int(rng.integers(4, 8)),
                thickness=1,
                dotted=dotted,
                colour=int(rng.integers(*GREYS, endpoint=True)),
            )
            yield "grey", drawn, ends, [(ends[0], ends[1]), (ends[2], ends[3])] if dotted else [], view
            yield "grey", view.pixels[..., 0], [], [], view


def simulated(cases: int, radius: float) -> None:
    counts: dict[str, dict[str, Count]] = {"colour": defaultdict(Count), "grey": defaultdict(Count)}
    spent = []
    for channel, image, ends, lines, view in pictures(cases):
        begin = time.perf_counter()
        found = find_annotations(image)
        spent.append(time.perf_counter() - begin)
        count = counts[channel]
        points = [(marker.row, marker.column) for marker in found.markers]
        count["markers"].add(len(points), len(ends), len(match(points, ends, radius)))
        count["dotted lines"].add(len(found.lines), len(lines), matched_lines(found, lines, radius))
        text = [] if view.text is None else [view.text]
        count["text"].add(len(found.texts), len(text), sum(overlap(found, box) for box in text))
    print(f"{cases} simulated cases, seed {SEED}; matching radius {radius:g} px")
    for channel, kinds in counts.items():
        for kind, count in kinds.items():
            print(f"{channel:<7}{kind:<13}{count}")
    print(speed(spent))


def speed(seconds: Sequence[float]) -> str:
    low, middle, high = np.quantile(seconds, (0.05, 0.5, 0.95)) * 1e3
    load = os.getloadavg()[0]
    return f"{middle:.0f} ms a picture (median; 5 % below {low:.0f}, 5 % above {high:.0f}); load average {load:.1f}"


def matched_lines(found: Annotations, real: Sequence[tuple[Point, Point]], radius: float) -> int:
    """Lines of which both ends are near those of a true one."""
    rest = list(real)
    for line in found.lines:
        for truth in rest:
            ends = np.array([line.start, line.end], float)
            apart = min(np.abs(ends - np.array(pair)).max() for pair in (truth, truth[::-1]))
            if apart <= radius:
                rest.remove(truth)
                break
    return len(real) - len(rest)


def overlap(found: Annotations, real: tuple[int, int, int, int]) -> bool:
    for box in found.texts:
        rows = min(box.bottom, real[2]) - max(box.top, real[0])
        columns = min(box.right, real[3]) - max(box.left, real[1])
        areas = (box.bottom - box.top) * (box.right - box.left), (real[2] - real[0]) * (real[3] - real[1])
        if rows > 0 and columns > 0 and rows * columns >= 0.5 * min(areas):
            return True
    return False


def hand_marks(folder: Path, radius: float) -> None:
    marks: dict[str, list[tuple[Point, str]]] = {}
    with MARKS.open(newline="") as file:
        for line in csv.DictReader(file):
            points = marks.setdefault(line["image"], [])
            if line["kind"] != "none":
                points.append(((int(line["y"]), int(line["x"])), line["kind"]))
    total, per_image = Count(), Count()
    recalled: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    spent, legends = [], 0
    for image, points in marks.items():
        pixels = read_image(folder / image).pixels
        begin = time.perf_counter()
        found = find_annotations(pixels)
        spent.append(time.perf_counter() - begin)
        centres = [(marker.row, marker.column) for marker in found.markers]
        pairs = match(centres, [point for point, _ in points], radius)
        legend = {first for first, second in pairs if points[second][1] == "legend"}
        hits = [points[second][1] for first, second in pairs if first not in legend]
        real = [kind for _, kind in points if kind != "legend"]
        total.add(len(centres) - len(legend), len(real), len(hits))
        per_image.add(bool(len(centres) - len(legend)), bool(real), bool(real) and bool(len(centres) - len(legend)))
        recalled.update(hits)
        kinds.update(real)
        legends += len(legend)
    print(f"{len(marks)} BUS-BRA training images marked by hand; matching radius {radius:g} px")
    print(f"markers {total}")
    print(f"images with calipers {per_image}")
    for kind in sorted(kinds):
        print(f"  {kind:<10}recall {recalled[kind] / kinds[kind]:.3f}  ({recalled[kind]} of {kinds[kind]})")
    print(f"{legends} detections on the marker of a printed measurement, which count as neither right nor wrong")
    print(speed(spent))


if __name__ == "__main__":
    main()
