from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.training.optimizers import ClipGradients, one_cycle, parameter_groups
from tests.training.scored_networks import scored_network


def test_encoder_is_slower_and_norms_and_biases_have_no_decay():
    network = scored_network()
    groups = parameter_groups(network, learning_rate=0.01, weight_decay=0.1, encoder_lr_factor=0.5)
    place = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(place) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        group = place[id(parameter)]
        assert group["lr"] == (0.005 if name.startswith("network.encoder.") else 0.01), name
        norm_or_bias = name.endswith("bias") or ".norm." in name
        assert group["weight_decay"] == (0.0 if norm_or_bias else 0.1), name


def test_first_group_is_the_decoders_for_its_rate_is_logged():
    assert parameter_groups(scored_network(), learning_rate=0.01, encoder_lr_factor=0.1)[0]["lr"] == 0.01


def test_a_network_without_an_encoder_of_its_own_has_one_rate():
    groups = parameter_groups(nn.Sequential(nn.Conv2d(1, 1, 1)), learning_rate=0.01, encoder_lr_factor=0.5)
    assert {group["lr"] for group in groups} == {0.01}


def test_frozen_parameters_stay_out():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    (group,) = parameter_groups(network, learning_rate=0.01)
    assert [id(parameter) for parameter in group["params"]] == [id(network.weight)]


def test_refuses_a_rate_that_is_not_positive():
    with pytest.raises(InputError, match=r"learning_rate and encoder_lr_factor: must be positive, got 0.01 and 0"):
        parameter_groups(nn.Linear(2, 2), learning_rate=0.01, encoder_lr_factor=0)


def test_each_group_rises_to_its_own_rate_and_ends_near_zero():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.02)]
    optimizer = torch.optim.AdamW(groups)
    schedule = one_cycle(optimizer, max_epochs=4, epoch_length=10, warm_up=0.25)
    rates = []
    for _ in range(39):
        optimizer.step()
        schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    first = [rate for rate, _ in rates]
    assert max(first) == pytest.approx(0.1)
    assert max(rate for _, rate in rates) == pytest.approx(0.02)
    assert first.index(max(first)) == 8  # the ninth step of forty
    assert first[-1] < 1e-5


def test_a_first_try_of_few_steps_still_rises_and_falls():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = one_cycle(optimizer, max_epochs=2, epoch_length=3)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < 6 else None
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] < 0.01
    assert rates[-1] < 1e-5


@pytest.mark.parametrize(("length", "fewest"), [(3, 2), (1, 4)])
def test_refuses_a_budget_too_short_to_rise_and_fall_and_says_what_suffices(length, fewest):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(InputError, match=rf"--max_epochs: must be {fewest} or more, .* got {fewest - 1} of {length}"):
        one_cycle(optimizer, max_epochs=fewest - 1, epoch_length=length)
    one_cycle(optimizer, max_epochs=fewest, epoch_length=length)


def test_refuses_a_warm_up_that_is_no_share():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(InputError, match=r"warm_up: must be a share between 0 and 1, got 1.5"):
        one_cycle(optimizer, max_epochs=9, epoch_length=9, warm_up=1.5)


@pytest.mark.parametrize(("length", "kept"), [(10.0, 3.0), (2.0, 2.0)], ids=["short enough", "too long"])
def test_long_gradients_are_shortened(length, kept):
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.full((1, 1), 3.0)
    ClipGradients(length)(SimpleNamespace(amp=False, scaler=None, network=network))
    assert float(network.weight.grad) == pytest.approx(kept, rel=1e-5)


def test_scaled_gradients_are_measured_as_they_are():
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.full((1, 1), 3.0 * 1024)

    def unscale(optimizer):
        network.weight.grad.div_(1024)

    trainer = SimpleNamespace(amp=True, scaler=SimpleNamespace(unscale_=unscale), network=network, optimizer=None)
    ClipGradients(10.0)(trainer)
    assert float(network.weight.grad) == 3.0


def test_refuses_a_length_that_is_not_positive():
    with pytest.raises(InputError, match="--clip_norm: must be positive, or null, got 0"):
        ClipGradients(0)
