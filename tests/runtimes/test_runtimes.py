from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.machine import packages, processors
from monai_lesion.machine.processors import Processor
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.factories import open_runtime
from tests.small_networks import SIZE, make_segmenter

HERE = Path(__file__).parent
STEPS = Steps(input_size=SIZE)


def pictures(count=1):
    return np.random.default_rng(0).random((count, 3, *SIZE), dtype=np.float32)


def logits(network, images):
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


def opened(network, runtime, precision="fp32", **options):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime.split("-")[0]))
    return open_runtime(network, STEPS, Execution(runtime=runtime, precision=precision, **options))


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino"])
def test_logits_in_float32_are_those_of_the_network(network, runtime):
    images = pictures(3)
    expected, got = logits(network, images), opened(network, runtime)(images)
    assert got.dtype == np.float32
    assert got.shape == (3, 1, *SIZE)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_logits_in_bfloat16_are_near(network, runtime):
    if not processors.processor().bfloat16:
        pytest.skip("this processor has no bfloat16 arithmetic")
    images = pictures()
    expected, fast = logits(network, images), opened(network, runtime, "bf16")
    assert fast.label == f"{runtime} bf16"
    error = np.abs(fast(images) - expected).mean() / np.abs(expected).mean()
    assert 1e-5 < error < 0.1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_torch_compile_gives_the_same(network):
    images = pictures()
    expected, got = logits(network, images), opened(network, "torch-compile")(images)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_pytorch_takes_other_sizes_and_the_others_say_theirs(network):
    images = np.zeros((1, 3, 33, 47), np.float32)
    assert opened(network, "torch")(images).shape == (1, 1, 33, 47)
    with pytest.raises(
        InputError, match=r"images: must be a float32 array \(N, 3, 32, 64\), got float32 \(1, 3, 33, 47\)"
    ):
        opened(network, "onnx")(images)


@pytest.mark.parametrize(
    "images",
    [np.zeros((3, *SIZE), np.float32), np.zeros((1, 3, *SIZE)), np.zeros((1, 1, *SIZE), np.float32), [[0.0]]],
    ids=["rank 3", "float64", "one channel", "a list"],
)
def test_rejects_arrays_of_another_kind(network, images):
    with pytest.raises(InputError, match=r"images: must be a float32 array \(N, 3, H, W\), got"):
        opened(network, "torch")(images)


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


def test_a_processor_without_bfloat16_gets_float32_and_is_told_once(network, monkeypatch, caplog):
    old = Processor("an old one", 2, ("avx2",))
    monkeypatch.setattr(processors, "processor", lambda: old)
    processors._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        runtimes = [opened(network, "torch", "bf16") for _ in range(2)]
    assert [runtime.label for runtime in runtimes] == ["torch fp32"] * 2
    assert caplog.text.count("this processor (an old one) has no bfloat16 arithmetic, so float32 is used") == 1


def test_a_file_that_is_no_model_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a.onnx: must be a model that ONNX Runtime can run, got"):
        OnnxRuntime(tmp_path / "a.onnx")


def test_a_file_that_is_no_openvino_model_is_refused(tmp_path):
    pytest.importorskip("openvino")
    from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

    (tmp_path / "a.xml").write_bytes(b"<nothing/>")
    with pytest.raises(InputError, match=r"a.xml: must be a model that OpenVINO can run, got"):
        OpenVinoRuntime(tmp_path / "a.xml")


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino"])
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


def connections(*arguments):
    for name in ("openvino", "nncf", "onnxruntime", "onnx"):
        pytest.importorskip(name)
    call = [sys.executable, HERE / "offline.py", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=HERE.parents[1])
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_nothing_is_reported_to_anyone():
    assert connections() == "connections: []"


@pytest.mark.slow
def test_openvino_alone_would_report_its_use():
    assert "google-analytics" in connections("--loud")


def test_reporting_that_is_loaded_already_is_put_to_sleep():
    pytest.importorskip("openvino_telemetry.utils.sender")
    code = (
        "import openvino_telemetry.utils.sender as s; from monai_lesion.machine.packages import load_package; "
        "load_package('onnxruntime'); print(s.TelemetrySender().send(None, None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_versions_leave_out_what_is_absent():
    assert list(packages.versions(["numpy", "no-such-package"])) == ["numpy"]
    assert not packages.is_installed("no_such_package")
