"""The backbones have the published parameters and strides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_lesion.networks.backbones import BACKBONES
from monai_lesion.networks.complexity import count_parameters


# torchvision's counts without the classifier (and, for MobileNetV2, without its 1280-channel layer).
@pytest.mark.parametrize(
    ("backbone", "expected"),
    [("mobilenetv2", 3_504_872 - 1_281_000 - 412_160), ("resnet101", 44_549_160 - 2_049_000)],
)
def test_backbones_have_the_published_parameters(backbone, expected):
    with torch.device("meta"):
        assert count_parameters(BACKBONES[backbone](3)) == expected


@pytest.mark.parametrize(("backbone", "channels", "low_channels"), [
    ("mobilenetv2", 320, 24),
    pytest.param("resnet101", 2048, 256, marks=pytest.mark.slow),
])  # fmt: skip
def test_backbones_end_at_a_quarter_and_a_sixteenth(backbone, channels, low_channels):
    with torch.device("meta"):
        low, deep = BACKBONES[backbone](3)(torch.zeros(2, 3, 256, 192))
    assert low.shape == (2, low_channels, 64, 48)
    assert deep.shape == (2, channels, 16, 12)


@pytest.mark.parametrize(
    ("backbone", "expected"), [("mobilenetv2", [1] * 16 + [2]), ("resnet101", [1] * 30 + [2, 4, 8])]
)
def test_rates_grow_where_the_last_stride_was(backbone, expected):
    with torch.device("meta"):
        layers = BACKBONES[backbone](3).modules()
    rates = [c.dilation[0] for c in layers if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]
    assert rates[-len(expected) :] == expected
