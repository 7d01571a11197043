"""How long one image takes in each runtime, network by network, against the network as published in plain PyTorch.

    python benchmarks/runtimes.py [--repeats 7] [--networks "U-net,Lighter U-net @128"]

Batch 1, 256 x 256, all taken in turns; medians in milliseconds, and the median of the ratios to the first column in the
same turn, so that other load on the machine weighs on both. Random weights: times do not depend on them. For int8 the
calibration pictures are noise, which is enough to measure time and says nothing about accuracy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from monai_lesion.networks.complexity import FAMILY
from monai_lesion.runtimes.factories import open_runtime
from monai_lesion.runtimes.processors import processor
from monai_lesion.runtimes.quantization import CalibrationImages

SHOWN = "U-net,Lighter U-net @128,Lighter U-net @32,Lighter U-net @8,Lighter U-net @1"
WAYS = (("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
INT8 = (("onnx", "int8"), ("openvino", "int8"))


def ways(name: str, int8: bool) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    network = FAMILY[name].build().eval()
    picture = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    image = torch.from_numpy(picture)

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return network(image)

    found: dict[str, Callable[[], object]] = {"as published": plain}
    labels = [np.random.default_rng(1).random((256, 256)) > 0.5] * 2
    calibration = CalibrationImages([picture] * 2, [picture] * 2, labels)
    for runtime, precision in (*WAYS, *(INT8 if int8 else ())):
        opened = open_runtime(network, runtime, precision=precision, calibration=calibration)
        found[opened.label] = lambda opened=opened: opened(picture)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", default=SHOWN, help="names separated by commas")
    parser.add_argument("--int8", action="store_true", help="also int8; minutes a network")
    options = parser.parse_args()
    runs = {name: ways(name, options.int8) for name in options.networks.split(",")}
    times: dict[tuple[str, str], list[float]] = {(name, way): [] for name, each in runs.items() for way in each}
    for turn in range(options.repeats + 1):  # the first warms up
        for name, each in runs.items():
            for way, run in each.items():
                start = time.perf_counter()
                run()
                if turn:
                    times[name, way].append(1000 * (time.perf_counter() - start))
    print(f"{processor()}; {torch.get_num_threads()} threads; load {os.getloadavg()[0]:.1f}")
    columns = list(next(iter(runs.values())))
    print("| network | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name in runs:
        cells = []
        for way in columns:
            base, own = times[name, columns[0]], times[name, way]
            ratio = statistics.median(first / each for first, each in zip(base, own, strict=True))
            cells.append(f"{statistics.median(own):.0f} ({ratio:.1f}x)")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
