"""EfficientNet-Lite under the paper's decoder: the published encoder to the digit, and what surrounds it."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import EncoderUNet, TrustHeads
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.recognition import identify, without_pretraining
from tests.networks.encoders import MEAN, STD, scratch
from tests.networks.test_unet import picture, randomise_statistics


@torch.no_grad()
def test_the_picture_comes_in_from_0_to_1_and_is_normalised_and_padded_with_black():
    network = scratch().eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = picture(33, 30)
    network(x)
    (inner,) = seen
    assert inner.shape == (1, 3, 64, 32)
    back = inner * STD.view(1, 3, 1, 1) + MEAN.view(1, 3, 1, 1)
    torch.testing.assert_close(back[:, :, 15:48, 1:31], x)
    assert back[:, :, :15].abs().max() < 1e-6
    assert back[:, :, 48:].abs().max() < 1e-6
    assert back[:, :, :, 31].abs().max() < 1e-6


@torch.no_grad()
def test_a_picture_of_another_size_is_seen_within_black_and_cut_out_again():
    torch.manual_seed(0)
    network, x = randomise_statistics(scratch()), picture(33, 30)
    framed = torch.zeros(1, 3, 64, 32)
    framed[:, :, 15:48, 1:31] = x
    torch.testing.assert_close(network(x), network(framed)[:, :, 15:48, 1:31])


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 3_068_209),  # the landmark of docs/results.md: 3.07 M
        ({"output_stride": 16}, 730_897),
        ({"encoder": "efficientnet-lite1"}, 3_832_881),
        ({"encoder": "efficientnet-lite2"}, 4_473_425),
    ],
    ids=str,
)
def test_has_so_many_parameters(options, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in scratch(**options).parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "reduction"),
    [
        ({}, 1),
        ({"decoder_channels": (128, 64, 48, 32)}, 2),
        ({"decoder_channels": [32]}, 16),
        ({"output_stride": 16}, 1),
        ({"output_stride": 16, "decoder_channels": (64, 48)}, 4),
    ],
    ids=str,
)
@torch.no_grad()
def test_fewer_decoder_stages_compute_logits_at_a_lower_resolution(options, reduction):
    network = scratch(**options).eval()
    seen = []
    network.head.register_forward_hook(lambda _, inputs, output: seen.append(output))
    assert network(picture(64, 96)).shape == (1, 1, 64, 96)
    assert seen[0].shape[2:] == (64 // reduction, 96 // reduction)


def test_the_decoder_is_made_of_the_papers_conv_sets():
    with torch.device("meta"):
        convolutions = [m for m in scratch(group_size=8).decoder.modules() if isinstance(m, nn.Conv2d)]
    grouped = [c for c in convolutions if c.kernel_size == (3, 3)]
    assert len(grouped) == 10
    assert {c.in_channels // c.groups for c in grouped} == {8}
    with torch.device("meta"):
        dense = [m for m in scratch(group_size=None).decoder.modules() if isinstance(m, nn.Conv2d)]
    assert len(dense) == 10
    assert {c.groups for c in dense} == {1}


def test_encoder_parameters_are_those_of_the_encoder():
    with torch.device("meta"):
        network = scratch()
    named = {id(p): name for name, p in network.named_parameters()}
    own = {named[id(p)] for p in network.encoder_parameters()}
    assert own == {name for name in named.values() if name.startswith("encoder.")}
    assert {id(p) for p in TrustHeads(network).encoder_parameters()} == {id(p) for p in network.encoder_parameters()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet18"}, "encoder: must be one of efficientnet-lite0, efficientnet-lite1, efficientnet-lite2"),
        ({"output_stride": 8}, "output_stride: must be 32 or 16, got 8"),
        ({"spatial_dims": 3}, "spatial_dims: must be 2 for EncoderUNet, got 3"),
        ({"encoder_weights": "noisy"}, "encoder_weights: must be \"imagenet\" or None, got 'noisy'"),
        ({"encoder_weights": "imagenet", "in_channels": 1}, "in_channels: must be 3 for an encoder of ImageNet, got 1"),
        ({"decoder_channels": ()}, "decoder_channels: must be one to 5 positive integers for output_stride=32, got ()"),
        ({"decoder_channels": (8, 8, 0)}, "decoder_channels: must be one to 5 positive integers"),
        (
            {"decoder_channels": [8] * 5, "output_stride": 16},
            "decoder_channels: must be one to 4 positive integers for output_stride=16, got [8, 8, 8, 8, 8]",
        ),
        ({"group_size": 16}, "group_size: must be a positive integer that divides the channel count 168, got 16"),
    ],
    ids=str,
)
def test_rejects_arguments_out_of_range(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        EncoderUNet(**{"encoder_weights": None, **options})


@pytest.mark.usefixtures("no_package")
def test_trained_weights_need_no_package(tmp_path):
    torch.manual_seed(0)
    trained = TrustHeads(scratch(output_stride=16))
    torch.save({"model": trained.state_dict()}, tmp_path / "model.pt")
    shapes = {name: tuple(tensor.shape) for name, tensor in trained.state_dict().items()}
    assert identify(shapes)[1]["network"]["encoder_weights"] is None
    definition = without_pretraining(
        {
            "_target_": "monai_lesion.networks.TrustHeads",
            "network": {
                "_target_": "monai_lesion.networks.EncoderUNet",
                "encoder_weights": "imagenet",
                "output_stride": 16,
            },
        }
    )
    inner = {key: value for key, value in definition["network"].items() if key != "_target_"}
    assert inner == {"encoder_weights": None, "output_stride": 16}
    loaded = load_weights(TrustHeads(EncoderUNet(**inner)), tmp_path / "model.pt")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), trained.parameters(), strict=True))
