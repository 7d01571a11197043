"""How fast a training consumes images, by precision and instruction set, and how fast its input is made.

    python benchmarks/training.py [--network light_unet] [--width 0.125] [--size 128] [--batch-size 8] [--repeats 5]

One training step (forward, loss, backward, AdamW) in float32 channels-last, bfloat16 channels-last (where the processor
has bfloat16) and float32 contiguous, taken in turns, in CPU time; then what ``amp: "auto"`` would choose, by the same
few steps that a training measures when it begins. All of it three times, in processes of their own: with what the
processor has, limited to AVX-512 with bfloat16 (no AMX), and limited to AVX2, as most desktops are. Then the first
again where freed memory goes back to the system, as it does outside a training
(``machine.memory.keep_freed_memory``). Then the input: pictures cached, with the paper's augmentation and with that of
the converging recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader

from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.machine.memory import keep_freed_memory
from monai_lesion.machine.processors import processor
from monai_lesion.networks import LighterUNet, LightUNet, UNet
from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.pipeline.transforms import preprocessing
from monai_lesion.training.augmentations import BatchAugmentation
from monai_lesion.training.batches import TrainingBatch
from monai_lesion.training.inferers import MixedPrecisionInferer
from monai_lesion.training.losses import MaskAndTrustLoss
from monai_lesion.training.negatives import RemoveLesions
from monai_lesion.training.precisions import (
    BFLOAT16,
    CONTIGUOUS,
    PICTURES,
    Way,
    chosen,
    has_amx,
    measured_seconds,
    ways,
)

LIMITS = {"as it is": None, "AVX-512 with bfloat16": "AVX512_CORE_BF16", "AVX2": "AVX2"}
NETWORKS = {"unet": UNet, "light_unet": LightUNet, "lighter_unet": LighterUNet}


class Step:
    """One training step of a network of its own."""

    def __init__(self, options: argparse.Namespace, way: Way) -> None:
        torch.manual_seed(0)
        self.network = build(options).to(memory_format=way.layout)
        self.inferer, self.loss = MixedPrecisionInferer(way), MaskAndTrustLoss()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.images = torch.rand(options.batch_size, 3, options.size, options.size)
        self.labels = (torch.rand(options.batch_size, 1, options.size, options.size) > 0.8).float()

    def __call__(self) -> float:
        """Take the step; give its CPU seconds."""
        start = time.process_time()
        self.optimizer.zero_grad()
        self.loss(self.inferer(self.images, self.network), self.labels).backward()
        self.optimizer.step()
        return time.process_time() - start


def build(options: argparse.Namespace) -> torch.nn.Module:
    """The network to measure."""
    more = {"group_size": options.group_size} if options.network == "lighter_unet" else {}
    return NETWORKS[options.network](width=options.width, **more)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The settings under this process's limit, and the choice of ``auto``."""
    if options.child == "keep":
        keep_freed_memory()
    steps = [Step(options, way) for way in ways()]
    for step in steps:  # warm-up
        step()
    times = [[step() for step in steps] for _ in range(options.repeats)]
    best = [min(column) for column in zip(*times, strict=True)]
    shape = (PICTURES, 3, options.size, options.size)
    auto = BFLOAT16 if has_amx() else chosen(measured_seconds(build(options), shape))
    return {"seconds": {str(way): taken for way, taken in zip(ways(), best, strict=True)}, "auto": str(auto)}


def report(limit: str, found: dict[str, Any], images: int) -> None:
    """Print one table."""
    seconds: dict[str, float] = found["seconds"]
    plain, fastest = str(CONTIGUOUS), min(seconds.values())
    print(f"{limit}:")
    for way, each in seconds.items():
        mark = "  <- auto" if way == found["auto"] else ""
        print(f"  {way:25}{1e3 * each / images:8.1f} ms an image {seconds[plain] / each:6.2f} x{mark}")
    print(f"  auto against the fastest {seconds[found['auto']] / fastest:6.2f} x its time (wanted: 1.05 or less)")


def run_child(memory: str, limit: str | None) -> dict[str, Any]:
    """Measure in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    if limit:
        environment["ONEDNN_MAX_CPU_ISA"] = limit
    command = [sys.executable, __file__, *sys.argv[1:], "--child", memory]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def milliseconds(run: Callable[[], int]) -> float:
    """CPU milliseconds an image."""
    run()  # warm-up
    rounds = []
    for _ in range(5):
        start = time.process_time()
        images = run()
        rounds.append(1e3 * (time.process_time() - start) / images)
    return statistics.median(rounds)


def inputs(options: argparse.Namespace) -> None:
    """Print what the inputs cost."""
    size = (options.size, options.size)
    with tempfile.TemporaryDirectory() as folder:
        manifest = load_manifest(write_phantoms(Path(folder) / "data", cases=14, progress=False))
        batch = TrainingBatch(augmentation=[RemoveLesions(0.15), BatchAugmentation()])
        recipes = {
            "the paper's": (preprocessing(("image", "label"), spatial_size=size, augment=True), TrainingBatch()),
            "converging, without calipers": (preprocessing(("image", "label"), spatial_size=size), batch),
            "converging": (preprocessing(("image", "label"), spatial_size=size, calipers=0.5), batch),
        }
        for name, (transform, prepare) in recipes.items():
            dataset = CacheDataset(manifest.entries("training"), transform, progress=False)
            loader = DataLoader(dataset, batch_size=options.batch_size, shuffle=True, num_workers=0)

            def run(loader: DataLoader = loader, prepare: TrainingBatch = prepare) -> int:
                return sum(len(prepare(items, "cpu")[0]) for items in loader)

            print(f"  {name:28}{milliseconds(run):8.1f} ms an image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="light_unet")
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", choices=("keep", "give-back"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options)))
        return
    print(f"{processor()}; {torch.get_num_threads()} threads")
    print(f"{options.network}, width {options.width}, {options.batch_size} images of {options.size} x {options.size}:")
    results = {}
    for name, limit in LIMITS.items():
        results[name] = run_child("keep", limit)
        report(name, results[name], options.batch_size)
    given_back, kept = run_child("give-back", None), results["as it is"]
    ratio = given_back["seconds"][kept["auto"]] / kept["seconds"][kept["auto"]]
    print(f"as it is, {kept['auto']}: freed memory kept {ratio:.2f} x as fast as given back to the system")
    print("input, pictures cached:")
    inputs(options)


if __name__ == "__main__":
    main()
