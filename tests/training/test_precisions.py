from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.training import precisions
from monai_lesion.training.precisions import ChoosePrecision, Precision, measured_gain
from tests.training.scored_networks import scored_network


@pytest.mark.parametrize(
    ("amp", "device", "low"),
    [
        (True, "cpu", True),
        ("false", "cpu", False),
        ("auto", "cuda", True),
        ("auto", "cpu", None),
        (False, "cuda", False),
    ],
)
def test_precision_is_as_told_or_open(amp, device, low):
    assert Precision(amp, device).low is low


def test_open_precision_is_float32():
    assert not Precision("auto")


def test_refuses_another_word():
    with pytest.raises(InputError, match="--amp: must be true, false or \"auto\", got 'fast'"):
        Precision("fast")


def choose(monkeypatch, *, amx=False, gain=1.0, precision=None):
    precision = Precision("auto") if precision is None else precision
    monkeypatch.setattr(precisions, "has_amx", lambda: amx)
    monkeypatch.setattr(precisions, "measured_gain", lambda network, shape: gain)
    ChoosePrecision(precision, nn.Identity(), spatial_size=[32, 32])()
    return precision


@pytest.mark.parametrize(
    ("amx", "gain", "low", "message"),
    [
        (True, 0.1, True, "precision: bfloat16, for this processor has AMX"),
        (False, 1.67, True, "precision: bfloat16, for bfloat16 is 1.67 times as fast here, measured on this network"),
        (False, 0.25, False, "precision: float32, for bfloat16 is 4.00 times slower here, measured on this network"),
        (False, 1.01, False, "precision: float32, for bfloat16 is 1.01 times as fast here"),
    ],
    ids=["AMX", "faster", "slower", "as fast"],
)
def test_chooses_what_is_faster_and_says_why(monkeypatch, caplog, amx, gain, low, message):
    with caplog.at_level(logging.INFO):
        assert bool(choose(monkeypatch, amx=amx, gain=gain)) is low
    assert message in caplog.text


@pytest.mark.parametrize("amp", [True, False])
def test_a_forced_precision_is_not_measured(monkeypatch, amp):
    assert choose(monkeypatch, amx=True, gain=0.0, precision=Precision(amp)).low is amp


def test_a_resumed_training_keeps_its_choice(monkeypatch):
    precision = Precision("auto")
    precision.load_state_dict(choose(monkeypatch, gain=0.1).state_dict())
    assert choose(monkeypatch, gain=9.0, precision=precision).low is False


def test_a_training_of_before_goes_on_in_bfloat16():
    precision = Precision("auto")
    precision.load_state_dict({})
    assert precision.low is True


def test_what_is_forced_stands_against_the_checkpoint():
    precision = Precision(False)
    precision.load_state_dict({"low": True})
    assert precision.low is False


@pytest.mark.parametrize("limit", ["AVX2", ""], ids=["limited", "free"])
def test_amx_counts_unless_it_is_switched_off(monkeypatch, limit):
    class Amx:
        features = ("avx2", "amx_bf16")

    monkeypatch.setattr(precisions, "processor", Amx)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert precisions.has_amx() is not bool(limit)


def test_measuring_moves_neither_weights_nor_random_numbers():
    network = scored_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    assert measured_gain(network, (2, 3, 32, 32)) > 0
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_measures_the_cpu_time_of_a_step(monkeypatch):
    """A clock that runs three times slower while bfloat16 is on."""
    now = [0.0]

    class Slow(nn.Conv2d):
        def forward(self, x):
            now[0] += 1.0 if torch.is_autocast_enabled("cpu") else 3.0
            return super().forward(x)

    monkeypatch.setattr(precisions.time, "process_time", lambda: now[0])
    assert measured_gain(Slow(3, 1, 1), (1, 3, 16, 16)) == pytest.approx(3.0)
