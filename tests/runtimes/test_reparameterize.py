from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_lesion.networks import LighterUNet, LightUNet, UNet
from monai_lesion.networks.blocks import GroupedConvolution
from monai_lesion.networks.complexity import count_flops
from monai_lesion.runtimes.reparameterize import merge, reparameterize

C = (1, 2, 4, 8, 16, 32, 64, 128)
NETWORKS = {"UNet": UNet, "LightUNet": LightUNet} | {f"@{c}": lambda c=c: LighterUNet(group_size=c) for c in C}


def trained(build):
    """A network whose weights, biases and statistics are all far from those of a new one."""
    torch.manual_seed(3)
    network = build()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def sets(network):
    return sum(isinstance(module, GroupedConvolution) for module in network.modules())


def difference(network, image):
    with torch.inference_mode():
        expected, got = network(image), reparameterize(network)(image)
    return float((got - expected).abs().max() / expected.abs().max())


QUICK = ("LightUNet", "@1", "@64")  # no pair merged, and some


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_logits_are_those_of_the_network_borders_and_odd_sizes_included(name):
    torch.manual_seed(0)
    assert difference(trained(NETWORKS[name]), torch.rand(2, 3, 33, 47)) <= 1e-4


def test_volumes_are_merged_as_well():
    network = trained(lambda: LighterUNet(spatial_dims=3, width=0.125, group_size=128))
    merged = reparameterize(network)
    assert sets(merged) < sets(network)
    assert difference(network, torch.rand(1, 3, 16, 17, 19)) <= 1e-4


def test_a_merged_pair_is_the_pair_on_the_border():
    torch.manual_seed(0)
    pair = GroupedConvolution(2, 8, 6, group_size=4)
    image = torch.zeros(1, 8, 5, 5)
    image[:, :, 0, 0] = torch.rand(8)  # only the corner: what is padded decides
    torch.testing.assert_close(merge(pair)(image), pair(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("c", "merged", "gflop"),
    [
        pytest.param(128, 7, 59.0, id="@128"),
        pytest.param(64, 4, None, id="@64", marks=pytest.mark.slow),
        pytest.param(32, 0, 28.2, id="@32", marks=pytest.mark.slow),
        pytest.param(1, 0, 9.5, id="@1"),
    ],
)
def test_only_sets_that_get_cheaper_are_merged(c, merged, gflop):
    with torch.device("meta"):
        network = LighterUNet(group_size=c)
    cheaper = reparameterize(network)
    assert sets(network) == 18
    assert sets(network) - sets(cheaper) == merged
    assert gflop is None or round(count_flops(cheaper) / 1e9, 1) == gflop
    assert count_flops(cheaper) <= count_flops(network)


def test_no_batch_normalisation_is_left():
    with torch.device("meta"):
        network = reparameterize(LightUNet())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def test_the_network_itself_stays_as_it_is():
    network = trained(lambda: LighterUNet(group_size=64, width=0.125)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    merged = reparameterize(network)
    assert network.training
    assert not merged.training
    assert not any(parameter.requires_grad for parameter in merged.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "folded"),
    [
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), True),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), True),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), True),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), False),
        (nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU()), False),
    ],
    ids=["no bias", "groups and stride", "transposed", "transposed in groups", "a ReLU between"],
)
def test_other_convolutions_take_the_normalisation_where_that_is_exact(layer, folded):
    network = trained(lambda: nn.Sequential(layer, nn.BatchNorm2d(6)))
    assert isinstance(reparameterize(network)[1], nn.Identity) == folded
    assert difference(network, torch.rand(2, 4, 9, 11)) <= 1e-5


def test_normalisation_by_the_batch_itself_is_left():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert isinstance(reparameterize(network)[1], nn.BatchNorm2d)
    assert difference(network, torch.rand(2, 3, 8, 8)) <= 1e-6
