"""Weights of a small network, and the bundle that they belong to."""

from __future__ import annotations

from pathlib import Path

import torch

from monai_lesion.networks import LighterUNet

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"


def weights(folder: Path, **options: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": LighterUNet(**options).state_dict()}, folder / "weights.pt")
    return folder / "weights.pt"
