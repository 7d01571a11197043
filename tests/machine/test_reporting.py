"""No library that runs a network tells anyone: seen from outside the process, name look-ups by its own code too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monai_lesion.models.presets import load_preset
from monai_lesion.models.writers import copy_client

LIVES = 60  # seconds; ONNX Runtime asks for its maker's host after two or so
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


def test_nothing_imports_onnx_runtime_before_its_reporting_is_off():
    root = Path(__file__).parents[2]
    found = {}
    for file in [file for room in ("monai_lesion", "benchmarks", "docs") for file in (root / room).rglob("*.py")]:
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.match(r"\s*(import|from) onnxruntime", line):
                found[file.name] = "silence_reporting()" in lines[number - 1]
    assert found == {"sessions.py": True}


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


HERE = Path(__file__).parent


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
