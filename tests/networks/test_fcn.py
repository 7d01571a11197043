"""FCN: the paper's size, the skips of each stride, padding, volumes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import FCN
from monai_lesion.networks.complexity import count_flops, count_parameters
from tests.networks.test_unet import picture, randomise_statistics

VGG = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_has_the_papers_parameters(stride):
    with torch.device("meta"):
        assert count_parameters(FCN(stride=stride)) == 18_643_713


def test_arithmetic_is_that_of_its_layers_by_hand():
    side, channels, adds = 256, 3, 0
    for layer in VGG:
        if layer == "M":
            side //= 2
        else:
            adds, channels = adds + side**2 * layer * channels * 9, layer
    for out in (512, 256, 128, 64, 32):
        adds, channels, side = (
            adds + side**2 * out * channels * 9,
            out,
            2 * side,
        )  # each input pixel meets 3 x 3 weights
    adds += side**2 * channels
    with torch.device("meta"):
        assert count_flops(FCN()) == 2 * adds


def by_hand(network, x):
    """The forward pass from the weights alone, in another style, for sides that 32 divides."""
    state = network.state_dict()
    convolutions = [key[: -len(".weight")] for key in state if key.startswith("encoder.") and key.endswith(".weight")]
    pooled = []
    for layer in VGG:
        if layer == "M":
            x = F.max_pool2d(x, 2)
            pooled.append(x)
        else:
            name = convolutions.pop(0)
            x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
    skips = {32: [], 16: [pooled[3]], 8: [pooled[3], pooled[2]]}[network.stride]
    for number in range(5):
        conv, norm = f"decoder.{number}.conv", f"decoder.{number}.norm"
        x = F.relu(
            F.conv_transpose2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], stride=2, padding=1, output_padding=1)
        )
        x = x + skips[number] if number < len(skips) else x
        moments = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        x = F.batch_norm(x, *moments, state[f"{norm}.weight"], state[f"{norm}.bias"])
    return F.conv2d(x, state["head.weight"], state["head.bias"])


@pytest.mark.parametrize("stride", [32, 16, 8])
@torch.no_grad()
def test_is_vgg_16_with_the_skips_of_its_stride(stride):
    torch.manual_seed(0)
    network = randomise_statistics(FCN(stride=stride))
    x = picture(64, 32)
    torch.testing.assert_close(network(x), by_hand(network, x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_pads_half_before_and_half_after_and_crops_back():
    torch.manual_seed(0)
    network = randomise_statistics(FCN())
    x = picture(17, 50)
    padded = F.pad(x, (7, 7, 7, 8))
    torch.testing.assert_close(network(x), network(padded)[:, :, 7:24, 7:57])


@torch.no_grad()
def test_keeps_the_signal_through_thirteen_layers_without_normalisation():
    torch.manual_seed(0)
    network = FCN().eval()
    seen = []
    network.encoder[4].register_forward_hook(lambda _, inputs, output: seen.append(output))
    network(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert 0.1 < seen[0].std() < 10


def test_dropout_comes_after_the_last_vgg_stage():
    network = FCN(dropout=0.5)
    seen = []
    network.dropout.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].shape))
    network(picture(64, 64, batch=2))
    assert seen == [(2, 512, 2, 2)]
    with torch.device("meta"):
        assert FCN().dropout.p == 0.0


@pytest.mark.slow
@torch.no_grad()
def test_segments_volumes():
    network = FCN(spatial_dims=3, in_channels=1).eval()
    assert all(layer.weight.dim() == 5 for layer in network.modules() if isinstance(layer, nn.Conv3d))
    assert network(picture(16, 17, 19, channels=1)).shape == (1, 1, 16, 17, 19)


@pytest.mark.parametrize("stride", [4, 64, "8", None], ids=repr)
def test_rejects_other_strides(stride):
    with pytest.raises(InputError, match="stride: must be 32, 16 or 8, got"):
        FCN(stride=stride)
