"""How fast a training consumes images, and how fast the input pipeline makes them: ratios within one run.

    python benchmarks/training.py [--group-size 128] [--batch-size 8] [--repeats 3]

bfloat16 with channels-last, as the bundle trains on a CPU, against plain float32, contiguous: the same network, batch
and step (forward, Dice loss, backward, Adam), taken in turns. Then the pipeline of a training data set that is cached
already: what remains for each image is the augmentation.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceLoss

from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.networks import LighterUNet
from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.pipeline.transforms import preprocessing
from monai_lesion.training.inferers import MixedPrecisionInferer


class Step:
    """One training step of a network of its own."""

    def __init__(self, group_size: int, batch_size: int, *, amp: bool) -> None:
        torch.manual_seed(0)
        layout = torch.channels_last if amp else torch.contiguous_format
        self.network = LighterUNet(group_size=group_size).to(memory_format=layout)
        self.inferer, self.loss = MixedPrecisionInferer(amp), DiceLoss(sigmoid=True, smooth_nr=0.0, smooth_dr=0.0)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, weight_decay=1e-4)
        self.images = torch.rand(batch_size, 3, 256, 256)
        self.labels = (torch.rand(batch_size, 1, 256, 256) > 0.8).float()

    def __call__(self) -> float:
        """Take the step; give its seconds."""
        start = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss(self.inferer(self.images, self.network), self.labels).backward()
        self.optimizer.step()
        return time.perf_counter() - start


def pipeline_seconds(batch_size: int) -> float:
    """Seconds an image, augmentation and collation of cached pictures."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = load_manifest(write_phantoms(Path(folder) / "data", cases=14, progress=False))
        transform = preprocessing(("image", "label"), augment=True)
        dataset = CacheDataset(manifest.entries("training"), transform, progress=False)
        loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=0)
        for _ in loader:  # warm-up
            pass
        start, images = time.perf_counter(), 0
        for _ in range(8):
            for batch in loader:
                images += len(batch["image"])
        return (time.perf_counter() - start) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {unit} " in f"{flags} "]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {' '.join(units)}")
    fast, plain = (Step(options.group_size, options.batch_size, amp=amp) for amp in (True, False))
    fast(), plain()  # warm-up
    times = [(fast(), plain()) for _ in range(options.repeats)]
    quick, slow = (min(column) for column in zip(*times, strict=True))
    ratios = sorted(theirs / ours for ours, theirs in times)
    images = options.batch_size
    print(f"Lighter U-net @{options.group_size}, {images} images of 256 x 256 a step, best of {options.repeats}:")
    print(f"  bfloat16, channels-last    {quick:7.2f} s a step  {images / quick:6.2f} images/s")
    print(f"  float32, contiguous        {slow:7.2f} s a step  {images / slow:6.2f} images/s")
    print(f"  ratio                      {slow / quick:7.1f} x (pairwise {ratios[0]:.1f} to {ratios[-1]:.1f}, ", end="")
    print(f"median {statistics.median(ratios):.1f}; wanted: 3 or more)")
    each = pipeline_seconds(options.batch_size)
    print(f"  input pipeline alone       {each * 1e3:7.1f} ms an image {1 / each:6.1f} images/s")
    print(f"  against the faster step    {quick / images / each:7.1f} x what it consumes (wanted: 10 or more)")


if __name__ == "__main__":
    main()
