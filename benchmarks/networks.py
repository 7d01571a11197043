"""How long one image takes in PyTorch, network by network: plain float32, channels-last, and bfloat16.

    python benchmarks/networks.py [--repeats 5]

Batch 1, 256 x 256, evaluation mode, all taken in turns; medians in milliseconds, and each against U-net in plain
float32 in the same turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

from monai_lesion.networks.complexity import FAMILY
from monai_lesion.training.inferers import MixedPrecisionInferer

SHOWN = ("U-net", "Light U-net", "Lighter U-net @128", "Lighter U-net @32", "Lighter U-net @8", "Lighter U-net @1")
WAYS = {"float32": (False, False), "channels-last": (False, True), "bfloat16": (True, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    image = torch.rand(1, 3, 256, 256)
    runs = {}
    for name in SHOWN:
        for way, (amp, last) in WAYS.items():
            layout = torch.channels_last if last else torch.contiguous_format
            network = FAMILY[name].build().eval().to(memory_format=layout)
            runs[name, way] = network, MixedPrecisionInferer(amp), image.to(memory_format=layout)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    with torch.inference_mode():
        for turn in range(options.repeats + 1):  # the first warms up
            for key, (network, inferer, picture) in runs.items():
                start = time.perf_counter()
                inferer(picture, network)
                if turn:
                    times[key].append(time.perf_counter() - start)
    base = times[SHOWN[0], "float32"]
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, torch {torch.__version__}")
    print("| network | " + " | ".join(WAYS) + " |\n|---|" + "---:|" * len(WAYS))
    for name in SHOWN:
        cells = []
        for way in WAYS:
            values = times[name, way]
            ratio = statistics.median(first / own for first, own in zip(base, values, strict=True))
            cells.append(f"{statistics.median(values) * 1e3:.0f} ms ({ratio:.1f}x)")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
