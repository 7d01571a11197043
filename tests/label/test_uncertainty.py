"""Dropout maps and the score that orders images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.label.uncertainty import dropout_maps, entropy, uncertainty
from monai_lesion.networks import LighterUNet


def test_entropy_is_that_of_a_coin() -> None:
    p = 0.2
    expected = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    assert entropy(torch.tensor([p, 1 - p])).tolist() == pytest.approx([expected, expected])


def test_maps_differ_by_dropout_alone_and_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = LighterUNet(group_size=1, dropout=0.5).eval()
    image = torch.rand(1, 3, 64, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    maps = dropout_maps(network, image, passes=3)
    assert maps.shape == (3, 64, 64)
    assert not torch.equal(maps[0], maps[1])
    assert not any(module.training for module in network.modules())
    # Batch normalisation in training mode would change its running mean, and the maps far more than dropout does.
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        assert (maps.mean(0) - torch.sigmoid(network(image))[0, 0]).abs().max() < 0.2


def test_network_without_dropout_is_refused() -> None:
    with pytest.raises(InputError, match="must contain dropout to score uncertainty"):
        dropout_maps(LighterUNet(group_size=1, dropout=0.0), torch.rand(1, 3, 32, 32))


def test_calls_go_through_the_inferer() -> None:
    calls = []

    def infer(image: torch.Tensor, network: nn.Module) -> torch.Tensor:
        calls.append(image.shape)
        return network(image)

    dropout_maps(LighterUNet(group_size=1, dropout=0.5), torch.rand(1, 3, 32, 32), passes=2, infer=infer)
    assert calls == [(1, 3, 32, 32)] * 2


def test_score_rises_with_the_doubt_and_falls_with_the_size_of_the_lesion() -> None:
    def edge(size: int, width: int) -> torch.Tensor:
        maps = torch.zeros(1, 64, 64)
        maps[:, 8 : 8 + size, 8 : 8 + size] = 1
        maps[:, 8 : 8 + size, 8 : 8 + width] = 0.5
        return maps

    assert uncertainty(edge(32, 4)) > uncertainty(edge(32, 2)) > 0
    assert uncertainty(edge(8, 2)) > uncertainty(edge(32, 2))
