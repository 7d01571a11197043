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
import torch.nn.functional as F
from torch import nn

from monai_lesion.inferers import MixedPrecisionInferer
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.blocks import GroupedConvolution
from monai_lesion.runtimes.reparameterize import _dense_is_less


class Merged(nn.Module):
    """A grouped convolution's dense twin, its weights formed anew in each step."""

    def __init__(self, convolution: GroupedConvolution) -> None:
        super().__init__()
        self.grouped, self.pointwise = convolution.grouped, convolution.pointwise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve with the product."""
        kernel, mixing = self.grouped.weight, self.pointwise.weight.flatten(1)
        channels, size = kernel.shape[:2]
        product = torch.einsum(
            "ogm,gmik->ogik", mixing.view(len(mixing), -1, size), kernel.view(channels // size, size, size, 9)
        )
        bias = mixing @ self.grouped.bias + self.pointwise.bias
        return F.conv2d(x, product.reshape(len(mixing), channels, 3, 3), bias, padding=1)


def merged(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, GroupedConvolution) and _dense_is_less(child):
                setattr(parent, name, Merged(child))
    return network


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
                network = (merged(network) if way == "merged" else network).train().to(memory_format=layout)
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
