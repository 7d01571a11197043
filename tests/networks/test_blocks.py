"""The parts of the U-Net family."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.blocks import ConvSet, Down, GroupedConvolution, Stage, Up


@pytest.mark.parametrize(
    ("spatial_dims", "inputs", "outputs", "group_size", "parameters"),
    [
        # grouped: inputs * C * 3^n + inputs; pointwise: inputs * outputs + outputs
        (2, 64, 128, 16, 64 * 16 * 9 + 64 + 64 * 128 + 128),
        (2, 64, 128, 1, 64 * 9 + 64 + 64 * 128 + 128),
        (2, 3, 8, 128, 3 * 3 * 9 + 3 + 3 * 8 + 8),
        (3, 8, 4, 2, 8 * 2 * 27 + 8 + 8 * 4 + 4),
    ],
)
def test_grouped_convolution_has_the_papers_parameters(spatial_dims, inputs, outputs, group_size, parameters):
    block = GroupedConvolution(spatial_dims, inputs, outputs, group_size=group_size)
    assert sum(p.numel() for p in block.parameters()) == parameters


@torch.no_grad()
def test_grouped_convolution_sees_only_its_group_before_it_mixes():
    block = GroupedConvolution(2, 8, 8, group_size=4)
    block.pointwise.weight.copy_(torch.eye(8)[..., None, None])
    block.pointwise.bias.zero_()
    x = torch.rand(1, 8, 5, 5)
    y = x.clone()
    y[:, :4] += 1  # the first group
    change = (block(y) - block(x)).abs().amax((0, 2, 3))
    assert (change[:4] > 0).all()
    assert (change[4:] == 0).all()


@torch.no_grad()
def test_grouped_convolution_is_linear_and_can_be_one_dense_convolution():
    block = GroupedConvolution(2, 4, 6, group_size=2).double()
    dense = torch.zeros(4, 4, 3, 3, dtype=torch.double)
    for channel in range(4):
        first = channel // 2 * 2
        dense[channel, first : first + 2] = block.grouped.weight[channel]
    pointwise = block.pointwise.weight[:, :, 0, 0]
    weight = torch.einsum("om,mikl->oikl", pointwise, dense)
    bias = pointwise @ block.grouped.bias + block.pointwise.bias
    x = torch.rand(2, 4, 7, 5, dtype=torch.double)
    torch.testing.assert_close(F.conv2d(x, weight, bias, padding=1), block(x))


@pytest.mark.parametrize("group_size", [0, -1, 3, 2.0, "2"], ids=repr)
def test_grouped_convolution_rejects_other_group_sizes(group_size):
    with pytest.raises(InputError, match="group_size: must be a positive integer that divides the channel count 8"):
        GroupedConvolution(2, 8, 8, group_size=group_size)


def test_a_conv_set_is_convolution_normalisation_and_activation_with_a_bias():
    block = ConvSet(2, 3, 4, group_size=None)
    assert [name for name, _ in block.named_children()] == ["conv", "norm", "act"]
    assert isinstance(block.conv, nn.Conv2d)
    assert block.conv.bias is not None
    assert isinstance(block.norm, nn.BatchNorm2d)
    assert isinstance(block.act, nn.ReLU)


def test_a_stage_narrows_through_its_middle_width():
    stage = Stage(2, 8, 4, 6, group_sizes=(None, 1))
    assert stage(torch.rand(2, 8, 6, 6)).shape == (2, 6, 6, 6)
    assert (stage.set1.conv.out_channels, stage.set2.conv.grouped.groups) == (4, 4)


@torch.no_grad()
def test_down_takes_the_maximum_of_each_square():
    down = Down(2, Stage(2, 1, 1, 1, group_sizes=(None, None)))
    down.stage = nn.Identity()
    x = torch.arange(20.0).view(1, 1, 4, 5)
    assert down(x).tolist() == [[[[6, 8], [16, 18]]]]


@torch.no_grad()
def test_up_interpolates_between_aligned_corners_and_puts_the_skip_first():
    up = Up(2, Stage(2, 2, 1, 1, group_sizes=(None, None)))
    up.stage = nn.Identity()
    x = torch.tensor([[[[0.0, 3.0], [6.0, 9.0]]]])
    skip = torch.full((1, 1, 4, 4), -1.0)
    merged = up(x, skip)
    assert torch.equal(merged[:, :1], skip)
    torch.testing.assert_close(merged[0, 1, 0], torch.tensor([0.0, 1.0, 2.0, 3.0]))  # corners keep their values
    torch.testing.assert_close(merged[0, 1, :, 0], torch.tensor([0.0, 2.0, 4.0, 6.0]))


@torch.no_grad()
def test_up_pads_to_a_larger_skip_with_zeros_half_before_and_half_after():
    up = Up(2, Stage(2, 2, 1, 1, group_sizes=(None, None)))
    up.stage = nn.Identity()
    merged = up(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 7, 5))[0, 1]
    expected = torch.zeros(7, 5)
    expected[1:5, 0:4] = 1  # of three missing rows one goes before; of one missing column none
    torch.testing.assert_close(merged, expected)
