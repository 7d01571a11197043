"""DeepLab v3+: the paper's size on both backbones, strides and rates, one image in training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import DeepLabV3Plus
from monai_lesion.networks.complexity import count_flops, count_parameters
from tests.networks.test_unet import picture


@pytest.mark.parametrize(("backbone", "expected"), [("mobilenetv2", 5_810_913), ("resnet101", 59_339_169)])
def test_has_the_papers_parameters(backbone, expected):
    with torch.device("meta"):
        assert count_parameters(DeepLabV3Plus(backbone=backbone)) == expected


def test_the_pyramid_is_dense_at_rates_6_12_18():
    with torch.device("meta"):
        network = DeepLabV3Plus()
    wide = [c for c in network.pyramid.modules() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]
    assert [(c.dilation, c.padding, c.groups, c.bias) for c in wide] == [
        ((rate, rate), (rate, rate), 1, None) for rate in (6, 12, 18)
    ]


def test_only_the_classifier_has_a_bias():
    with torch.device("meta"):
        network = DeepLabV3Plus(backbone="mobilenetv2")
    biased = [name for name, c in network.named_modules() if isinstance(c, nn.Conv2d) and c.bias is not None]
    assert biased == ["head"]


@pytest.mark.slow
def test_arithmetic_of_the_head_by_hand():
    with torch.device("meta"):
        network = DeepLabV3Plus(backbone="mobilenetv2")
        backbone = count_flops(network.backbone)
        whole = count_flops(network)
    pyramid = 16 * 16 * (320 * 256 * (1 + 3 * 9) + 1280 * 256) + 320 * 256
    decoder = 64 * 64 * (24 * 48 + 304 * 256 * 9 + 256 * 256 * 9 + 256)
    assert whole - backbone == 2 * (pyramid + decoder)


@pytest.mark.slow
@torch.no_grad()
def test_the_mean_of_the_picture_reaches_every_pixel():
    torch.manual_seed(0)
    network = DeepLabV3Plus(backbone="mobilenetv2").eval()
    x = picture(256, 256)
    changed = x.clone()
    changed[:, :, :8, :8] += 1.0
    assert (network(x) != network(changed))[0, 0, -8:, -8:].all()


def test_one_image_trains_not_but_segments():
    network = DeepLabV3Plus(backbone="mobilenetv2")
    with pytest.raises(InputError, match=r"input: must hold at least two images in training, got \(1, 3, 64, 64\)"):
        network(picture(64, 64))
    assert network(picture(64, 64, batch=2)).shape == (2, 1, 64, 64)
    with torch.no_grad():
        assert network.eval()(picture(64, 64)).shape == (1, 1, 64, 64)


def test_dropout_stands_after_the_pyramid_and_within_the_decoder():
    with torch.device("meta"):
        network = DeepLabV3Plus(backbone="mobilenetv2", dropout=0.25)
    found = {name: layer.p for name, layer in network.named_modules() if isinstance(layer, nn.Dropout)}
    assert found == {"pyramid.dropout": 0.25, "decoder.1": 0.25}


def test_refuses_volumes():
    with pytest.raises(InputError, match=r"spatial_dims: must be 2 for DeepLab v3\+, got 3. The U-nets and FCN take"):
        DeepLabV3Plus(spatial_dims=3)


@pytest.mark.parametrize("backbone", ["xception", "", None], ids=repr)
def test_rejects_other_backbones(backbone):
    with pytest.raises(InputError, match="backbone: must be one of mobilenetv2, resnet101, got"):
        DeepLabV3Plus(backbone=backbone)
