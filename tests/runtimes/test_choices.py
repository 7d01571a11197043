from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.machine import timing
from monai_lesion.runtimes import caches, choices
from monai_lesion.runtimes.choices import choose
from monai_lesion.runtimes.interfaces import Runtime
from tests.runtimes.conftest import SIZE, make_segmenter, segmenting


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
            return self.network(torch.from_numpy(images)).numpy() + np.float32(self.shift)


@pytest.fixture
def candidates(network, monkeypatch):
    """Which runtimes exist, and which were opened."""
    made = {
        ("torch", "fp32"): {"wait": 0.05},
        ("onnx", "fp32"): {"wait": 0.02},
        ("openvino", "fp32"): {"shift": 0.5},
    }
    opened = []

    def open_runtime(network, name, *, precision, **options):
        opened.append((name, precision))
        if isinstance(made[name, precision], InputError):
            raise made[name, precision]
        return Pretended(network, name, precision, **made[name, precision])

    monkeypatch.setattr("monai_lesion.runtimes.factories.open_runtime", open_runtime)
    monkeypatch.setattr(
        choices, "_pictures", lambda size, calibration: [np.random.default_rng(0).random((1, 3, *size), np.float32)]
    )
    monkeypatch.setattr(timing, "time", Pretended.clock)
    monkeypatch.setattr(choices, "is_installed", lambda package: True)
    monkeypatch.setattr(choices, "CANDIDATES", [(*key, key[0]) for key in made])
    return made, opened


def test_the_fastest_that_agrees_is_taken_and_why_is_said(network, candidates, caplog):
    with caplog.at_level(logging.INFO):
        assert choose(network, spatial_size=SIZE).label == "onnx fp32"
    assert "leaves out openvino fp32: its masks have Dice 0." in caplog.text
    assert "runtime auto: onnx fp32 (onnx fp32 " in caplog.text


def test_the_choice_is_kept_for_the_same_weights_only(network, candidates, cache):
    made, opened = candidates
    choose(network, spatial_size=SIZE)
    made["torch", "fp32"], opened[:] = {}, []
    assert choose(network, spatial_size=SIZE).label == "onnx fp32"
    assert opened == [("onnx", "fp32")]
    (file,) = (cache / "runtimes").glob("*.json")
    kept = json.loads(file.read_text())
    assert kept["kept"]["runtime"] == "onnx"
    assert kept["facts"]["processor"]
    assert {"torch", "numpy"} & set(kept["facts"]["packages"]) == {"torch"}
    torch.manual_seed(1)
    other = segmenting(type(network)(group_size=8, width=0.125).eval())
    assert choose(other, spatial_size=SIZE).label == "torch fp32"


def test_a_damaged_memory_is_measured_again(network, candidates, cache):
    _, opened = candidates
    choose(network, spatial_size=SIZE)
    (file,) = (cache / "runtimes").glob("*.json")
    for content in ("", "[]", '{"kept": {"runtime": "none", "precision": "fp32"}}'):
        file.write_text(content)
        opened.clear()
        assert choose(network, spatial_size=SIZE).label == "onnx fp32"
        assert len(opened) == 3


def test_a_runtime_that_fails_is_left_out(network, candidates):
    made, _ = candidates
    made["onnx", "fp32"] = InputError("network", "must be convertible to ONNX")
    assert choose(network, spatial_size=SIZE).label == "torch fp32"


def test_where_none_works_all_reasons_are_told(network, candidates):
    made, _ = candidates
    made.update({key: {"shift": 9.0} for key in made})
    with pytest.raises(InputError, match=r"runtime: auto found none that works, got torch fp32: its masks.*onnx fp32"):
        choose(network, spatial_size=SIZE)


def test_a_foreign_network_is_measured_every_time(network, candidates, cache):
    _, opened = candidates
    foreign = torch.nn.Sequential(network)
    for _ in range(2):
        choose(foreign, spatial_size=SIZE)
    assert len(opened) == 6
    assert not cache.exists()


def test_a_precision_that_nothing_has_is_refused(network, candidates):
    with pytest.raises(InputError, match=r"precision: must be one that an installed runtime has here, got int8"):
        choose(network, precision="int8", spatial_size=SIZE)


def test_int8_is_a_candidate_with_calibration_only():
    kinds = [{kind for _, kind in choices._admitted(None, calibrated)} for calibrated in (False, True)]
    assert "int8" not in kinds[0]
    assert choices.is_installed("nncf") == ("int8" in kinds[1])


@pytest.mark.slow
def test_auto_segments_as_the_network_does(network):
    picture = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    segmenter = make_segmenter(network, runtime="auto", precision="fp32")
    np.testing.assert_array_equal(segmenter(picture).mask, make_segmenter(network)(picture).mask)


def test_a_kept_folder_is_made_once_and_again_when_damaged(cache, caplog):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "a.bin").write_bytes(b"content")

    first = caches.kept_folder({"a": 1}, make)
    assert caches.kept_folder({"a": 1}, make) == first
    assert caches.kept_folder({"a": 2}, make) != first
    assert len(made) == 2
    (first / "a.bin").write_bytes(b"changed")
    assert (caches.kept_folder({"a": 1}, make) / "a.bin").read_bytes() == b"content"
    assert "was damaged and is made again" in caplog.text
    assert len(made) == 3
    assert sorted(path.name for path in first.parent.iterdir() if path.name.startswith(".")) == []


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"must be a folder that can be written.*MONAI_LESION_CACHE"):
        caches.keep({"a": 1}, 2)
    with pytest.raises(InputError, match=r"must be a folder that can be written.*MONAI_LESION_CACHE"):
        caches.kept_folder({"a": 1}, lambda folder: None)
