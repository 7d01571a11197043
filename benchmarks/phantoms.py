"""Simulated images a second, written as PNG: with both cores, and the CPU time of one process.

Run ``python benchmarks/phantoms.py`` (wanted: 10 images/s or more on two cores). ``--sheet FILE`` writes the contact
sheet of the documentation in place of timing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from monai_lesion.phantoms.cases import CALIPER_COLOUR, simulate_case
from monai_lesion.phantoms.files import write_phantoms

SHEET = [(5, 0), (3, 8), (5, 8)]  # seed and case: one with a shadow, one in layers, one brighter than its surroundings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--sheet", type=Path, help="write the contact sheet there and time nothing")
    options = parser.parse_args()
    if options.sheet:
        write_sheet(options.sheet)
        return
    simulate_case(1, 0)  # imports are no part of it
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            wall, cpu = time.perf_counter(), time.process_time()
            write_phantoms(Path(folder) / str(workers), cases=options.cases, seed=1, workers=workers, progress=False)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            images = 2 * options.cases
            own = f"   {cpu / images * 1e3:6.1f} ms CPU an image (wanted: 120 or less)" if workers == 1 else ""
            print(f"{workers} process{'es' if workers > 1 else '  '} {images / wall:6.1f} images/s{own}")
        size = sum(path.stat().st_size for path in (Path(folder) / "1").rglob("*.png"))
        print(f"{size / images / 1e3:.0f} kB an image with its mask")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def write_sheet(path: Path) -> None:
    """Three cases, front above side, in few colours to stay small."""
    width, gap = 340, 4
    columns = []
    for seed, case in SHEET:
        views = [Image.fromarray(view.pixels) for view in simulate_case(seed, case).views]
        columns.append([view.resize((width, round(width * view.height / view.width)), 4) for view in views])
    heights = [picture.height for picture in columns[0]]
    sheet = Image.new("RGB", ((width + gap) * len(columns) - gap, sum(heights) + gap), "white")
    for number, column in enumerate(columns):
        for row, picture in enumerate(column):
            sheet.paste(picture, (number * (width + gap), row * (heights[0] + gap)))
    # Greys, and the calipers' blue mixed into some of them by the reduction; colours picked by count lose the blue.
    greys = np.linspace(0, 255, 28)[:, None] * np.ones(3)
    mixes = [
        (1 - share) * grey + share * np.array(CALIPER_COLOUR) for share in (0.3, 0.5, 0.7, 1.0) for grey in greys[::4]
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint([*greys, *mixes]).astype(np.uint8).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
