"""Merged conv sets: the same logits, the same gradients, the same files."""

import pytest
import torch

from monai_lesion.networks import LighterUNet
from monai_lesion.networks.blocks import GroupedConvolution
from monai_lesion.networks.merging import MergedConvolution, dense_is_less, merge_sets, product


def count(network):
    return sum(isinstance(module, MergedConvolution) for module in network.modules())


@pytest.mark.parametrize(("group_size", "sets"), [(128, 7), (64, 4), (32, 0), (1, 0)], ids=["@128", "@64", "@32", "@1"])
def test_the_sets_that_get_cheaper_are_merged(group_size, sets):
    assert count(merge_sets(LighterUNet(group_size=group_size))) == sets
    assert count(merge_sets(LighterUNet(group_size=group_size), merge=False)) == 0


@pytest.mark.parametrize(("spatial_dims", "shape"), [(2, (9, 7)), (3, (5, 4, 6))], ids=["2-D", "3-D"])
def test_output_and_gradients_are_those_of_the_two_convolutions(spatial_dims, shape):
    torch.manual_seed(0)
    grouped = GroupedConvolution(spatial_dims, 12, 8, group_size=4).double()
    x = torch.rand(2, 12, *shape, dtype=torch.float64)
    weights = list(grouped.parameters())
    expected = grouped(x)
    wanted = torch.autograd.grad(expected.square().sum(), weights)
    found = MergedConvolution(grouped)(x)
    gradients = torch.autograd.grad(found.square().sum(), weights)
    torch.testing.assert_close(found, expected)
    for own, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.slow
def test_a_merged_network_learns_as_the_plain_one_and_saves_the_same_names():
    x, networks = torch.rand(2, 3, 32, 32, dtype=torch.float64), []  # in float32 rounding grows through the norms
    for merge in (False, True):
        torch.manual_seed(0)
        network = merge_sets(LighterUNet(group_size=128, width=0.5, dropout=0.0).double(), merge=merge)
        assert (count(network) > 0) == merge
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        for _ in range(2):
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
        networks.append(network.state_dict())
    plain, merged = networks
    assert plain.keys() == merged.keys()
    for name, value in plain.items():
        torch.testing.assert_close(merged[name], value, rtol=1e-6, atol=1e-9)


def test_fewer_weights_decide():
    for outputs in (4, 8, 32, 64):
        convolution = GroupedConvolution(2, 32, outputs, group_size=32)
        dense = product(convolution.grouped, convolution.pointwise)[0].numel()
        separate = convolution.grouped.weight.numel() + convolution.pointwise.weight.numel()
        assert dense_is_less(convolution) == (dense < separate)
