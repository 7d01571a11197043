from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.training import precisions
from monai_lesion.training.precisions import (
    BFLOAT16,
    CONTIGUOUS,
    FLOAT32,
    ChoosePrecision,
    Precision,
    chosen,
    measured_seconds,
    ways,
)
from tests.training.scored_networks import scored_network


@pytest.mark.parametrize(
    ("amp", "device", "way"),
    [
        (True, "cpu", BFLOAT16),
        ("false", "cpu", FLOAT32),
        ("auto", "cuda", BFLOAT16),
        ("auto", "cpu", None),
        (False, "cuda", FLOAT32),
    ],
)
def test_precision_is_as_told_or_open(amp, device, way):
    assert Precision(amp, device).way is way


def test_open_precision_is_float32_channels_last():
    precision = Precision("auto")
    assert not precision
    assert precision.layout == torch.channels_last


def test_refuses_another_word():
    with pytest.raises(InputError, match="--amp: must be true, false or \"auto\", got 'fast'"):
        Precision("fast")


def choose(monkeypatch, *, amx=False, seconds=None, precision=None, network=None):
    precision = Precision("auto") if precision is None else precision
    monkeypatch.setattr(precisions, "has_amx", lambda: amx)
    monkeypatch.setattr(precisions, "measured_seconds", lambda network, shape: seconds)
    ChoosePrecision(precision, nn.Identity() if network is None else network, spatial_size=[32, 32])()
    return precision


def seconds(float32, bfloat16, contiguous):
    """Of a step, as measured; without bfloat16 where the processor has none."""
    taken = {FLOAT32: float32, BFLOAT16: bfloat16, CONTIGUOUS: contiguous}
    return {way: each for way, each in taken.items() if each is not None}


@pytest.mark.parametrize(
    ("measured", "way"),
    [
        (seconds(3.0, 1.0, 2.0), BFLOAT16),
        (seconds(1.0, 3.0, 1.2), FLOAT32),
        (seconds(3.0, 9.0, 2.0), CONTIGUOUS),
        (seconds(3.0, None, 2.0), CONTIGUOUS),
        (seconds(1.0, 0.99, 0.98), FLOAT32),
        (seconds(3.0, 2.0, 1.99), BFLOAT16),
    ],
    ids=["bfloat16", "float32", "contiguous", "without bfloat16", "all as fast", "both as fast"],
)
def test_the_fastest_is_chosen(measured, way):
    assert chosen(measured) is way


@pytest.mark.parametrize(
    ("amx", "way", "message"),
    [
        (True, BFLOAT16, "precision: bfloat16, channels-last, for this processor has AMX; --amp true or false forces"),
        (
            False,
            CONTIGUOUS,
            "precision: float32, contiguous, for a step takes 3.00 s in float32, channels-last, 9.00 s in bfloat16, "
            "channels-last, 2.00 s in float32, contiguous; --amp",
        ),
    ],
    ids=["AMX", "measured"],
)
def test_chooses_and_says_why(monkeypatch, caplog, amx, way, message):
    with caplog.at_level(logging.INFO):
        assert choose(monkeypatch, amx=amx, seconds=seconds(3.0, 9.0, 2.0)).way is way
    assert message in caplog.text


@pytest.mark.parametrize("measured", [seconds(3.0, None, 2.0), seconds(2.0, None, 3.0)], ids=["contiguous", "last"])
def test_the_weights_are_laid_out_as_chosen(monkeypatch, measured):
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    layout = choose(monkeypatch, seconds=measured, network=network).layout
    assert network.weight.is_contiguous(memory_format=layout)
    other = torch.channels_last if layout == torch.contiguous_format else torch.contiguous_format
    assert not network.weight.is_contiguous(memory_format=other)


@pytest.mark.parametrize("amp", [True, False])
def test_a_forced_precision_is_not_measured(monkeypatch, amp):
    assert choose(monkeypatch, amx=True, precision=Precision(amp)).way is (BFLOAT16 if amp else FLOAT32)


@pytest.mark.parametrize("times", [(3, 1, 2), (1, 3, 2), (3, 2, 1)], ids=["bfloat16", "float32", "contiguous"])
def test_a_resumed_training_keeps_its_choice(monkeypatch, times):
    before, precision = choose(monkeypatch, seconds=seconds(*times)), Precision("auto")
    precision.load_state_dict(before.state_dict())
    assert choose(monkeypatch, precision=precision).way is before.way


@pytest.mark.parametrize("processes", [1, 2])
def test_several_processes_stay_channels_last(monkeypatch, processes):
    monkeypatch.setattr(precisions.idist, "get_world_size", lambda: processes)
    assert FLOAT32 in ways()
    assert (CONTIGUOUS in ways()) is (processes == 1)


def test_the_first_process_decides(monkeypatch):
    monkeypatch.setattr(precisions.idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(precisions.idist, "broadcast", lambda number, src: precisions.WAYS.index(BFLOAT16))
    assert choose(monkeypatch, seconds={FLOAT32: 1.0, BFLOAT16: 3.0}).way is BFLOAT16


@pytest.mark.parametrize(("state", "way"), [({}, BFLOAT16), ({"low": False}, FLOAT32)], ids=["undecided", "no layout"])
def test_a_training_of_before_goes_on_as_it_began(state, way):
    precision = Precision("auto")
    precision.load_state_dict(state)
    assert precision.way is way


def test_what_is_forced_stands_against_the_checkpoint():
    precision = Precision(False)
    precision.load_state_dict({"low": True})
    assert precision.way is FLOAT32


@pytest.mark.parametrize("limit", ["AVX2", ""], ids=["limited", "free"])
def test_amx_counts_unless_it_is_switched_off(monkeypatch, limit):
    class Amx:
        features = ("avx2", "amx_bf16")

    monkeypatch.setattr(precisions, "processor", Amx)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert precisions.has_amx() is not bool(limit)


class Processor:
    """One with bfloat16."""

    bfloat16 = True
    features = ("avx512_bf16",)


def test_measuring_moves_neither_weights_nor_random_numbers(monkeypatch):
    monkeypatch.setattr(precisions, "processor", Processor)
    network = scored_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    assert all(each > 0 for each in measured_seconds(network, (2, 3, 32, 32)).values())
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


class Clocked(nn.Conv2d):
    """A step takes one second in bfloat16, three in float32, two of them where its pictures are contiguous."""

    now = 0.0

    def forward(self, x):
        slow = 2.0 if x.is_contiguous() else 3.0
        Clocked.now += 1.0 if torch.is_autocast_enabled("cpu") else slow
        return super().forward(x)


@pytest.mark.parametrize(
    ("bfloat16", "features", "expected"),
    [
        (True, ("avx512_bf16",), seconds(3.0, 1.0, 2.0)),
        (False, ("avx2",), seconds(3.0, None, 2.0)),
        (False, (), seconds(3.0, 1.0, 2.0)),
    ],
    ids=["bfloat16", "none", "unknown"],
)
def test_measures_the_cpu_time_of_a_step(monkeypatch, bfloat16, features, expected):
    known = type("Known", (), {"bfloat16": bfloat16, "features": features})
    monkeypatch.setattr(precisions, "processor", known)
    monkeypatch.setattr(precisions.time, "process_time", lambda: Clocked.now)
    assert measured_seconds(Clocked(3, 1, 1), (1, 3, 16, 16)) == pytest.approx(expected)
