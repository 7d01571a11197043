"""Parameters and arithmetic of the networks, the paper's fifteen to the digit of its table."""

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import LighterUNet, UNet
from monai_lesion.networks.complexity import (
    FAMILY,
    NETWORKS,
    OTHERS,
    complexity_table,
    count_flops,
    count_parameters,
    format_complexity,
)

PAPER = {
    "U-net": (17_267_393, "80.0", 0.929, 13.92),
    "Light U-net": (11_000_257, "51.3", 0.927, 14.16),
    "Lighter U-net @128": (7_944_661, "75.3", 0.928, 13.93),
    "Lighter U-net @64": (4_995_541, "47.6", 0.926, 14.21),
    "Lighter U-net @32": (3_465_685, "28.2", 0.926, 14.51),
    "Lighter U-net @16": (2_700_757, "18.6", 0.922, 15.18),
    "Lighter U-net @8": (2_318_293, "13.7", 0.921, 15.14),
    "Lighter U-net @4": (2_127_061, "11.3", 0.920, 15.22),
    "Lighter U-net @2": (2_031_445, "10.1", 0.920, 15.52),
    "Lighter U-net @1": (1_983_583, "9.5", 0.917, 15.98),
    # PAPER.md gives no arithmetic of these; test_fcn.py and test_deeplabv3plus.py work it out by hand.
    "FCN-32s": (18_643_713, "42.8", 0.909, 15.89),
    "FCN-16s": (18_643_713, "42.8", 0.920, 14.88),
    "FCN-8s": (18_643_713, "42.8", 0.924, 14.37),
    "DeepLab v3+ MobileNetV2": (5_810_913, "13.1", 0.904, 16.88),
    "DeepLab v3+ ResNet-101": (59_339_169, "44.3", 0.922, 14.32),
}


@pytest.fixture(scope="module")
def table():
    return {row.name: row for row in complexity_table()}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_every_network_has_the_papers_parameters_and_arithmetic(table, name):
    row = table[name]
    assert (row.parameters, f"{row.flops / 1e9:.1f}", row.dice.mean, row.hd95.mean) == PAPER[name]


@pytest.mark.slow
def test_the_table_keeps_the_papers_order(table):
    assert list(PAPER) == list(NETWORKS)
    assert list(table) == [*PAPER, *OTHERS]


def test_a_multiply_add_counts_as_two_and_a_bias_as_nothing():
    dense = nn.Conv2d(4, 6, 3, padding=1)
    assert count_flops(dense, (2, 4, 10, 12)) == 2 * (2 * 6 * 10 * 12) * (4 * 9)
    grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    assert count_flops(grouped, (2, 4, 10, 12)) == count_flops(dense, (2, 4, 10, 12)) // 2


def test_flops_grow_with_the_area():
    with torch.device("meta"):
        network = LighterUNet(group_size=8)
    assert count_flops(network, (1, 3, 64, 64)) * 16 == count_flops(network)
    assert count_flops(network, (2, 3, 64, 64)) == 2 * count_flops(network, (1, 3, 64, 64))


def test_counting_leaves_the_network_alone():
    network = LighterUNet(group_size=1).half().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_flops(network, (1, 3, 16, 16))
    assert network.training
    assert network.dropout.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(p.device.type == "cpu" and p.requires_grad for p in network.parameters())


def test_counts_volumes():
    with torch.device("meta"):
        flat, deep = UNet(2, 1), UNet(3, 1)
    assert count_parameters(deep) > 2 * count_parameters(flat)
    assert count_flops(deep, (1, 1, 16, 16, 16)) > 16 * count_flops(flat, (1, 1, 16, 16))


def test_buffers_are_no_parameters():
    assert count_parameters(nn.BatchNorm2d(5)) == 10


def test_rejects_an_input_that_the_network_refuses():
    with torch.device("meta"):
        network = LighterUNet(in_channels=1, group_size=8)
    with pytest.raises(InputError, match=r"must have the shape \(B, 1, H, W\)"):
        count_flops(network)


def test_a_variant_takes_further_arguments():
    with torch.device("meta"):
        network = FAMILY["Lighter U-net @4"].build(in_channels=1, dropout=0.1)
    assert (network.group_size, network.in_channels, network.dropout.p) == (4, 1, 0.1)


def test_the_family_cannot_be_changed():
    with pytest.raises(TypeError):
        FAMILY["U-net"].options["dropout"] = 0.0


@pytest.mark.slow
def test_a_table_of_another_width_has_the_unets_without_the_papers_results():
    rows = complexity_table(width=0.25)
    assert [row.name for row in rows] == [f"{name}, width 0.25" for name in FAMILY]
    assert all(row.dice is None and row.hd95 is None for row in rows)
    assert {row.name: row.parameters for row in rows}["Lighter U-net @8, width 0.25"] == 220_213
    lines = format_complexity(rows).splitlines()
    assert lines[0] == "| network | parameters | GFLOP at 256 x 256 |"
    assert lines[8] == "| Lighter U-net @8, width 0.25 | 220,213 | 1.78 |"


@pytest.mark.slow
def test_group_sizes_that_do_not_divide_the_layers_of_a_width_are_left_out():
    names = {row.options.get("group_size") for row in complexity_table(width=0.75)}  # 48, 96, 192, 384, 384 channels
    assert names == {None, 1, 2, 4, 8, 16}


def test_rejects_a_width_that_the_networks_refuse():
    with pytest.raises(InputError, match=r"width: must be a multiple of 1/16, up to 16, got 0.3. Use 0.3125"):
        complexity_table(width=0.3)


@pytest.mark.slow
def test_the_table_prints_as_markdown_the_papers_networks_apart(table):
    paper, others = (part.splitlines() for part in format_complexity(list(table.values())).split("\n\n"))
    lines = paper
    assert len(lines) == 2 + len(PAPER)
    assert [line.split(" | ")[0].lstrip("| ") for line in others[2:]] == list(OTHERS)
    assert all(line.count("|") == 4 for line in others)
    assert lines[4] == "| Lighter U-net @128 | 7,944,661 | 75.3 | 0.928 ± 0.001 | 13.93 ± 0.50 |"
