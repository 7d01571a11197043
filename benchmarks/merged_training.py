"""Whether a training is faster with conv sets that are merged on the fly.

The product of the grouped and the pointwise weights is formed in every step, and gradients flow to both.

    python benchmarks/merged_training.py [--repeats 5] [--batch 2] [--size 128] [--groups 128,64]

One step (forward, Dice-like loss, backward) of the network as it is and of the merged one in turns, in float32 and in
bfloat16 with channels last; medians in milliseconds and the median ratio. Only sets that get cheaper are merged.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch
from torch import nn

from monai_lesion.networks import LighterUNet
from monai_lesion.networks.merging import merge_sets
from monai_lesion.training.inferers import MixedPrecisionInferer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--groups", default="128,64")
    options = parser.parse_args()
    images = torch.rand(options.batch, 3, options.size, options.size)
    labels = (torch.rand(options.batch, 1, options.size, options.size) > 0.5).float()
    runs: dict[tuple[str, str, str], tuple[nn.Module, MixedPrecisionInferer]] = {}
    for group in options.groups.split(","):
        for amp in (False, True):
            layout = torch.channels_last if amp else torch.contiguous_format
            for way in ("as it is", "merged"):
                network = LighterUNet(group_size=int(group))
                network = merge_sets(network, way == "merged").train().to(memory_format=layout)
                runs[f"@{group}", "bfloat16" if amp else "float32", way] = network, MixedPrecisionInferer(amp)
    times: dict[tuple[str, str, str], list[float]] = {key: [] for key in runs}
    for turn in range(options.repeats + 1):  # the first warms up
        for key, (network, inferer) in runs.items():
            start = time.perf_counter()
            probability = torch.sigmoid(inferer(images, network))
            loss = 1 - 2 * (probability * labels).sum() / (probability.sum() + labels.sum())
            loss.backward()
            if turn:
                times[key].append(1000 * (time.perf_counter() - start))
            network.zero_grad()
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, torch {torch.__version__}, {options}")
    print("| network | precision | as it is | merged | gain |\n|---|---|---:|---:|---:|")
    for name, precision in dict.fromkeys(key[:2] for key in runs):
        own, other = times[name, precision, "as it is"], times[name, precision, "merged"]
        gain = statistics.median(a / b for a, b in zip(own, other, strict=True))
        medians = f"{statistics.median(own):.0f} | {statistics.median(other):.0f}"
        print(f"| {name} | {precision} | {medians} | {gain:.2f}x |")


if __name__ == "__main__":
    main()
