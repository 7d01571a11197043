"""CMUNeXt: its authors' size, its forward pass by hand."""

import pytest
import torch
import torch.nn.functional as F

from monai_lesion.errors import InputError
from monai_lesion.networks import CMUNeXt
from monai_lesion.networks.complexity import count_flops, count_parameters
from tests.networks.test_unet import picture, randomise_statistics


def test_has_its_authors_parameters_and_arithmetic():
    with torch.device("meta"):
        network = CMUNeXt()
    assert round(count_parameters(network) / 1e6, 2) == 3.15
    # The paper counts a multiply-add as one, and what normalisation and activation do as well.
    assert 7.1 < count_flops(network) / 2e9 < 7.41


def by_hand(state, x):
    """The forward pass from the weights alone, in another style, for sides that 16 divides."""

    def conv(name, x, groups=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2, groups=groups)

    def norm(name, x):
        moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"])

    def gelu(name, x, groups=1):
        return norm(f"{name}.2", F.gelu(conv(f"{name}.0", x, groups)))

    def relu(name, x):
        return F.relu(norm(f"{name}.norm", conv(f"{name}.conv", x)))

    skips, x = [], relu("stem", x)
    for stage, blocks in enumerate((1, 1, 1, 3, 1)):
        x = F.max_pool2d(x, 2) if stage else x
        for block in range(bool(stage), bool(stage) + blocks):  # the pooling comes first, except in the first stage
            name = f"encoder.{stage}.{block}"
            x = x + gelu(f"{name}.depthwise", x, groups=x.shape[1])
            x = gelu(f"{name}.narrow", gelu(f"{name}.wide", x))
        x = relu(f"encoder.{stage}.{bool(stage) + blocks}", x)
        skips.append(x)
    for stage, skip in enumerate(reversed(skips[:-1])):
        name = f"decoder.{stage}"
        x = relu(f"{name}.conv", F.interpolate(x, size=skip.shape[2:], mode="bilinear"))
        x = gelu(f"{name}.both", torch.cat([skip, x], 1), groups=2)
        x = gelu(f"{name}.narrow", gelu(f"{name}.wide", x))
    return conv("head", x)


@torch.no_grad()
def test_computes_what_its_paper_describes():
    torch.manual_seed(0)
    network, x = randomise_statistics(CMUNeXt()), picture(48, 80, batch=2)
    torch.testing.assert_close(network(x), by_hand(network.state_dict(), x), atol=1e-5, rtol=1e-4)


def test_large_kernels_are_depthwise():
    block = CMUNeXt().encoder[3][1]
    assert (block.depthwise[0].kernel_size, block.depthwise[0].groups) == ((7, 7), 128)


def test_refuses_volumes():
    with pytest.raises(InputError, match=r"must be 2 for CMUNeXt, got 3\. The U-nets and FCN take volumes"):
        CMUNeXt(spatial_dims=3)
