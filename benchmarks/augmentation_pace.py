"""Whether the recipe's augmentation sets the pace of learning: against another implementation, and against none.

    python benchmarks/augmentation_pace.py ours|plain|none --dataset_dir ../shared/data/busbra [--epochs 8]

A small setting (Lighter U-net @8 of half the width, 64 x 64 pixels) trained on the training split, losses of the
validation split. ``plain`` knows nothing of MONAI: flips, one affine map by ``grid_sample``, zeros at the border.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.transforms import augmentation, preprocessing

SIZE = (64, 64)
Pair = tuple[Tensor, Tensor]


def load(manifest: str, dataset_dir: str, split: str) -> list[Pair]:
    """Pictures float32 (3, 64, 64) in 0-255 and labels float32 (1, 64, 64)."""
    prepare = preprocessing(("image", "label"), spatial_size=SIZE)
    entries = load_manifest(manifest, dataset_dir, splits=[split]).entries(split)
    items = [prepare(entry) for entry in entries]
    return [(255 * item["image"].as_tensor(), item["label"].as_tensor().float()) for item in items]


def plain(rng: np.random.Generator) -> Callable[[Pair], Pair]:
    """The recipe's ranges, by torch alone."""

    def vary(pair: Pair) -> Pair:
        both = torch.cat(pair)
        for axis in (1, 2):
            if rng.random() < 0.5:
                both = both.flip(axis)
        if rng.random() < 0.5:
            turn, shear = np.radians([rng.uniform(-45, 45), rng.uniform(-16, 16)])
            rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
            linear = rotation @ np.array([[1, math.tan(shear)], [0, 1]]) @ np.diag(1 / rng.uniform(0.8, 1.2, 2))
            theta = torch.from_numpy(np.c_[linear, rng.uniform(-0.4, 0.4, 2)]).float()[None]  # a side is 2 long here
            both = grid_sample(both[None], affine_grid(theta, [1, 4, *SIZE], align_corners=False), align_corners=False)[
                0
            ]
        return both[:3], (both[3:] > 0.5).float()

    return vary


def ours() -> Callable[[Pair], Pair]:
    """The bundle's augmentation."""
    transform = augmentation(spatial_size=SIZE).set_random_state(0)

    def vary(pair: Pair) -> Pair:
        item = transform({"image": pair[0], "label": pair[1]})
        return torch.as_tensor(item["image"]).float(), torch.as_tensor(item["label"]).float()

    return vary


def dice_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Of each image, without smoothing."""
    axes = (1, 2, 3)
    return 1 - 2 * (probability * label).sum(axes) / (probability.sum(axes) + label.sum(axes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("ours", "plain", "none"))
    parser.add_argument("--manifest", default="data_manifests/busbra_dev.json")
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    training = load(options.manifest, options.dataset_dir, "training")
    validation = load(options.manifest, options.dataset_dir, "validation")
    vary = {"ours": ours, "plain": lambda: plain(np.random.default_rng(0)), "none": lambda: lambda pair: pair}[
        options.kind
    ]()
    torch.manual_seed(0)
    network = LighterUNet(group_size=8, width=0.5).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)

    def losses(pairs: list[Pair]) -> tuple[Tensor, Tensor]:
        images = torch.stack([image for image, _ in pairs]).contiguous(memory_format=torch.channels_last) / 255
        labels = torch.stack([label for _, label in pairs])
        probability = torch.sigmoid(network(images))
        return dice_loss(probability, labels), 1 - dice_loss((probability > 0.5).float(), labels)

    for epoch in range(1, options.epochs + 1):
        network.train()
        order = torch.randperm(len(training)).tolist()
        seen = []
        for start in range(0, len(order), 8):
            loss = losses([vary(training[index]) for index in order[start : start + 8]])[0]
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            seen.append(loss.detach())
        network.eval()
        with torch.no_grad():
            parts = [losses(validation[start : start + 16]) for start in range(0, len(validation), 16)]
        loss, dice = (torch.cat(values).mean() for values in zip(*parts, strict=True))
        print(
            f"{options.kind} {epoch:3}: training {torch.cat(seen).mean():.3f} validation {loss:.3f} Dice {dice:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
