from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.training.averaging import WARM_UP, WeightAverage


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def step(network):
    """Move every weight and statistic."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape))
    network(torch.randn(4, 1, 3, 3))


def test_average_is_the_moving_mean_of_weights_and_statistics():
    network = small_network()
    average = WeightAverage(network, decay=0.6)
    expected: dict[str, torch.Tensor] = {}
    for count in range(8):
        step(network)
        average.update()
        decay = min(0.6, (1 + count) / (WARM_UP + count)) if count else 0.0
        for name, value in network.state_dict().items():
            old = expected.get(name, torch.zeros(()))
            whole = value.is_floating_point()
            expected[name] = decay * old.double() + (1 - decay) * value.double() if whole else value.clone()
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value.double(), expected[name].double(), atol=1e-5), name


def test_without_a_decay_the_network_itself_is_kept():
    network = small_network()
    average = WeightAverage(network)
    average.update()
    assert average.network is network
    assert average.state_dict() == {}


def test_state_goes_on_to_the_bit():
    network = small_network()
    first = WeightAverage(network, decay=0.9)
    for _ in range(4):
        step(network)
        first.update()
    second = WeightAverage(copy.deepcopy(network), decay=0.9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step(network)
    second.trained.load_state_dict(network.state_dict())
    first.update()
    second.update()
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("made", "loaded", "message"),
    [
        (0.9, None, "an average of the weights, which this training does not take"),
        (None, 0.9, "no average of the weights, which this training takes"),
    ],
    ids=["one too many", "none"],
)
def test_refuses_a_state_of_another_kind(made, loaded, message):
    state = WeightAverage(small_network(), made).state_dict()
    with pytest.raises(ValueError, match=message):
        WeightAverage(small_network(), loaded).load_state_dict(state)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_refuses_a_decay_out_of_range(decay):
    with pytest.raises(InputError, match="--ema: must be between 0 and 1, or null, got"):
        WeightAverage(small_network(), decay)
