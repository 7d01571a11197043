"""No library that runs a network tells anyone: seen from outside the process, name look-ups by its own code too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from monai_lesion.models.presets import load_preset
from monai_lesion.models.writers import copy_client

LIVES = 20  # seconds; ONNX Runtime asks for its maker's host after two or so
LOUD = "import onnxruntime"
LIBRARY = (
    "import numpy\nfrom monai_lesion import LesionSegmenter\n"
    "LesionSegmenter.from_preset()(numpy.zeros((40, 50, 3), numpy.uint8))"
)
CLIENT = "import numpy\nfrom client import Model\nModel('.')(numpy.zeros((40, 50, 3), numpy.uint8))"


def calls(code, folder):
    """The network calls of a process that lives for a while."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    for name in ("model.json", "model.onnx", "model.pt"):
        shutil.copy(load_preset().path / name, folder)
    copy_client(folder)
    told = folder / "calls.txt"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmmsg,sendmsg", "-o", told]
    run = [sys.executable, "-c", f"{code}\nimport time\ntime.sleep({LIVES})"]
    switches = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    done = subprocess.run([*trace, *run], cwd=folder, env=environment, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("this machine does not let a process be watched")
    assert done.returncode == 0, done.stderr
    return [line for line in told.read_text().splitlines() if "AF_INET" in line or "events" in line]


@pytest.mark.slow
@pytest.mark.parametrize("code", [LIBRARY, CLIENT], ids=["library", "client"])
def test_nobody_is_asked_or_told(code, tmp_path):
    assert calls(code, tmp_path) == []


@pytest.mark.slow
def test_onnx_runtime_alone_may_ask_for_its_makers_host(tmp_path):
    import onnxruntime

    found = calls(LOUD, tmp_path)
    if not found:
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} asks nobody by itself")
    assert any("events" in line for line in found)
