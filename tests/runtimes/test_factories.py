"""Each runtime gives the logits of the network, or says what it lacks."""

from __future__ import annotations

import re
import shutil
import sys

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.factories import open_runtime
from tests.runtimes.opened import STEPS, logits, opened, pictures
from tests.small_networks import SIZE, make_segmenter


@pytest.mark.parametrize("runtime", ["torch", "onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_logits_in_float32_are_those_of_the_network(network, runtime):
    images = pictures(3)
    expected, got = logits(network, images), opened(network, runtime)(images)
    assert got.dtype == np.float32
    assert got.shape == (3, 1, *SIZE)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("runtime", "precision", "message"),
    [
        ("tensorrt", None, r"runtime: must be auto, torch, torch-compile, onnx, openvino or the folder.*got tensorrt"),
        ("torch", "fp8", r"precision: must be one of fp32, bf16, int8, got fp8"),
        ("torch", "int8", r"precision: of PyTorch must be fp32 or bf16, got int8. int8 needs openvino"),
        ("onnx", "bf16", r"precision: of ONNX Runtime must be fp32 or int8, got bf16. bf16 needs torch or openvino"),
        ("openvino", "int8", r"precision: int8 needs calibration pictures, got none"),
    ],
)
def test_rejects_what_a_runtime_lacks(network, runtime, precision, message):
    if runtime in ("onnx", "openvino"):
        pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    with pytest.raises(InputError, match=message):
        open_runtime(network, STEPS, Execution(runtime=runtime, precision=precision))


def test_torch_compile_without_a_compiler_says_so(network, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"runtime: torch-compile needs a C\+\+ compiler, got none. Use runtime torch"):
        open_runtime(network, STEPS, Execution(runtime="torch-compile"))


def test_onnx_and_openvino_are_for_the_cpu(network):
    with pytest.raises(InputError, match=r"runtime: onnx runs on a CPU, got device cuda. Use runtime torch"):
        open_runtime(network, STEPS, Execution(runtime="onnx", device="cuda"))


@pytest.mark.parametrize(
    ("runtime", "package", "fix"),
    [("onnx", "onnxruntime", "pip install onnxruntime"), ("openvino", "openvino", "pip install 'monai-lesion[cpu]'")],
)
def test_a_missing_package_names_what_brings_it(network, runtime, package, fix, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}: must be installed.*{re.escape(fix)}"):
        open_runtime(network, STEPS, Execution(runtime=runtime))


@pytest.mark.parametrize(
    "runtime", ["torch", *[pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "openvino")]]
)
def test_a_segmenter_finds_the_same_with_each_runtime(network, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    picture = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    for order in ("rgb", "bgr"):
        plain = make_segmenter(network, channel_order=order)(picture)
        other = make_segmenter(network, channel_order=order, runtime=runtime)
        result = other(picture)
        assert 0 < plain.mask.sum() < plain.mask.size
        np.testing.assert_array_equal(result.mask, plain.mask)
        np.testing.assert_allclose(result.probability, plain.probability, atol=1e-4)
        assert result.algorithm.settings["runtime"] == f"{runtime} fp32"
        assert result.algorithm.weights == plain.algorithm.weights


def test_a_precision_without_a_runtime_is_refused(network):
    with pytest.raises(InputError, match=r"precision: needs a runtime, got bf16"):
        make_segmenter(network, precision="bf16")
