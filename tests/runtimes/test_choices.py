from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.machine import timing
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes import choices
from monai_lesion.runtimes.choices import choose
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.interfaces import Outputs, Runtime
from tests.small_networks import SIZE, make_segmenter

STEPS = Steps(input_size=SIZE)


class Clock:
    """Tells a time that only runtimes spend, so that a busy machine changes nothing."""

    now = 0.0

    def perf_counter(self):
        return self.now


class Pretended(Runtime):
    """The network itself, as slow and as wrong as wanted."""

    clock = Clock()

    def __init__(self, network, name, precision, *, wait=0.0, shift=0.0):
        super().__init__(name, precision, SIZE)
        self.network, self.wait, self.shift = network, wait, shift

    def run(self, images):
        self.clock.now += self.wait
        with torch.inference_mode():
            return Outputs(self.network(torch.from_numpy(images)).numpy() + np.float32(self.shift))


def chosen(network, execution=None):
    execution = execution or Execution()
    return choose(network, STEPS, execution, lambda one: choices.open_one(network, one))


@pytest.fixture
def candidates(network, monkeypatch):
    """Which runtimes exist, and which were opened."""
    made = {
        ("torch", "fp32"): {"wait": 0.05},
        ("onnx", "fp32"): {"wait": 0.02},
        ("openvino", "fp32"): {"shift": 0.5},
    }
    opened = []

    def open_one(network, execution):
        name, precision = execution.runtime, execution.precision
        opened.append((name, precision))
        if isinstance(made[name, precision], InputError):
            raise made[name, precision]
        return Pretended(network, name, precision, **made[name, precision])

    monkeypatch.setattr(
        choices, "_pictures", lambda steps, _: [np.random.default_rng(0).random((1, 3, *steps.input_size), np.float32)]
    )
    monkeypatch.setattr(timing, "time", Pretended.clock)
    monkeypatch.setattr(choices, "is_installed", lambda package: True)
    monkeypatch.setattr(choices, "CANDIDATES", [(*key, key[0]) for key in made])
    monkeypatch.setattr(choices, "open_one", open_one, raising=False)
    return made, opened


def test_the_fastest_that_agrees_is_taken_and_why_is_said(network, candidates, caplog):
    with caplog.at_level(logging.INFO):
        assert chosen(network).label == "onnx fp32"
    assert "leaves out openvino fp32: its masks have Dice 0." in caplog.text
    assert "runtime auto: onnx fp32 (onnx fp32 " in caplog.text


def test_a_runtime_that_fails_is_left_out(network, candidates):
    made, _ = candidates
    made["onnx", "fp32"] = InputError("network", "must be convertible to ONNX")
    assert chosen(network).label == "torch fp32"


def test_where_none_works_all_reasons_are_told(network, candidates):
    made, _ = candidates
    made.update({key: {"shift": 9.0} for key in made})
    with pytest.raises(InputError, match=r"runtime: auto found none that works, got torch fp32: its masks.*onnx fp32"):
        chosen(network)


def test_nothing_is_remembered(network, candidates, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _, opened = candidates
    for _ in range(2):
        chosen(network)
    assert len(opened) == 6
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_nothing_has_is_refused(network, candidates):
    with pytest.raises(InputError, match=r"precision: must be one that an installed runtime has here, got int8"):
        chosen(network, Execution(precision="int8"))


def test_int8_is_a_candidate_with_calibration_only():
    kinds = [{kind for _, kind in choices._admitted(None, calibrated)} for calibrated in (False, True)]
    assert "int8" not in kinds[0]
    assert choices.is_installed("nncf") == ("int8" in kinds[1])


@pytest.mark.slow
def test_auto_segments_as_the_network_does(network):
    picture = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    segmenter = make_segmenter(network, runtime="auto", precision="fp32")
    np.testing.assert_array_equal(segmenter(picture).mask, make_segmenter(network)(picture).mask)
