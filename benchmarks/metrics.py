"""Dice and both HD95 of one image against a straightforward full-image distance transform.

Run ``python benchmarks/metrics.py``: 432 x 646 masks of about 90 pixels radius with irregular borders, the two
implementations in turn on each pair so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from monai_lesion.measures.metrics import score_image

SHAPE = (432, 646)
MEASURES = ("dice", "hd95", "hd95_monai")
Mask = NDArray[np.bool_]


def irregular_disc(random: np.random.Generator, radius: float = 90.0) -> Mask:
    rows, columns = np.indices(SHAPE)
    down, right = rows - 216 - random.normal(0, 8), columns - 323 - random.normal(0, 8)
    angle, border = np.arctan2(down, right), np.full(SHAPE, radius)
    for waves in range(2, 25):
        size = radius * 0.1 * random.normal() / waves**0.7
        border += size * np.cos(waves * angle + random.uniform(0, 2 * np.pi))
    return np.hypot(down, right) < border


def full_image_scores(pred: Mask, label: Mask) -> dict[str, float]:
    """Two full-image transforms shared by both definitions: medpy and MONAI called in turn would need four."""
    pred_surface, label_surface = pred ^ binary_erosion(pred), label ^ binary_erosion(label)
    first = distance_transform_edt(~label_surface)[pred_surface]
    second = distance_transform_edt(~pred_surface)[label_surface]
    return {
        "dice": 2 * np.count_nonzero(pred & label) / (np.count_nonzero(pred) + np.count_nonzero(label)),
        "hd95": float(np.percentile(np.concatenate([first, second]), 95)),
        "hd95_monai": max(float(np.percentile(first, 95)), float(np.percentile(second, 95))),
    }


def seconds(function: Callable[[Mask, Mask], object], pred: Mask, label: Mask) -> float:
    start = time.perf_counter()
    function(pred, label)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10, help="mask pairs")
    parser.add_argument("--repeats", type=int, default=10, help="timings of each pair")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    pairs = [(irregular_disc(random), irregular_disc(random)) for _ in range(options.pairs)]

    difference = 0.0  # also warms both up
    for pred, label in pairs:
        ours, theirs = score_image(pred, label), full_image_scores(pred, label)
        difference = max(difference, *(abs(ours[name] - theirs[name]) for name in MEASURES))
    times = [
        (seconds(score_image, pred, label), seconds(full_image_scores, pred, label))
        for _ in range(options.repeats)
        for pred, label in pairs
    ]
    fast, slow = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in times)
    print(f"monai_lesion.measures.metrics.score_image    {fast:8.2f} ms an image")
    print(f"full-image distance transform       {slow:8.2f} ms an image")
    print(f"median ratio over {len(times)} timings       {ratio:8.1f} x (wanted: 5 or more)")
    print(f"largest difference of any value     {difference:8.1e}")
    if difference > 1e-9:
        raise SystemExit("The two disagree.")


if __name__ == "__main__":
    main()
