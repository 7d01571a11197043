"""What the order of threshold and resize costs, with a network that makes no mistakes.

    python benchmarks/resize_order.py [--cases 30]

The exact masks of simulated cases are shrunk to 256 x 256 (bilinear, as the recipe does) and brought back in both
orders of ``postprocessing``; whatever differs from the exact mask is the order's fault.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch

from monai_lesion.measures.metrics import dice, pooled_hd95
from monai_lesion.phantoms.cases import simulate_case


def back(soft: torch.Tensor, size: tuple[int, int], order: str) -> np.ndarray:
    """Bring a 256 x 256 probability to the original size."""
    if order == "resize_first":
        return torch.nn.functional.interpolate(soft, size, mode="bilinear")[0, 0].numpy() >= 0.5
    return torch.nn.functional.interpolate((soft >= 0.5).float(), size, mode="nearest")[0, 0].numpy() > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=30)
    options = parser.parse_args()
    scores: dict[str, list[tuple[float, float]]] = {"resize_first": [], "threshold_first": []}
    for number in range(options.cases):
        for view in simulate_case(0, number).views:
            mask = torch.as_tensor(view.mask.astype(np.float32))[None, None]
            soft = torch.nn.functional.interpolate(mask, (256, 256), mode="bilinear")
            for order, values in scores.items():
                found = back(soft, view.mask.shape, order)
                values.append((dice(found, view.mask), pooled_hd95(found, view.mask)))
    for order, values in scores.items():
        overlap, distance = (statistics.mean(column) for column in zip(*values, strict=True))
        print(f"{order:<16} Dice {overlap:.4f}  HD95 {distance:.2f} px  (mean of {len(values)} images)")


if __name__ == "__main__":
    main()
