"""Open model files for the CPU, with the usage reporting of their makers off.

This file needs only ``reporting``, because copies of both travel with every exported model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from monai_lesion.machine.reporting import silence_reporting

# How the key of a file with a tensor's numbers is written: its length, which may be padded, and itself.
ELSEWHERE = re.compile(rb"(?:\x08|\x88\x80{0,8}\x00)location")
QUIET = 3  # errors only
# Left to itself OpenVINO takes bf16 wherever it can. What is not int8 in an int8 model runs in whatever is fastest.
HINTS = {"fp32": {"INFERENCE_PRECISION_HINT": "f32"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}, "int8": {}}


def open_onnx(model: str | Path | bytes, *, threads: int | None = None) -> Any:
    """Open an ``onnxruntime.InferenceSession``.

    Args:
        model: a file, or its bytes.
        threads: threads to use; None takes one per core.

    Raises:
        ValueError: when the model takes numbers from another file, which no model of ours does: no hash stands for
            that file, and early versions of ONNX Runtime read any that is named.
    """
    if ELSEWHERE.search(model if isinstance(model, bytes) else Path(model).read_bytes()):
        raise ValueError("it names another file for its numbers, which must stand in it")
    silence_reporting()
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # official builds for Windows
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if threads is not None:
        options.intra_op_num_threads = threads
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def open_openvino(model: Any, *, precision: str = "fp32", threads: int | None = None) -> Any:
    """Open an ``openvino.CompiledModel``, tuned for one image at a time.

    Args:
        model: a file (``.xml`` or ``.onnx``), the bytes of an ONNX model, or an ``openvino.Model``.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        threads: threads to use; None takes one per core.
    """
    silence_reporting()
    import openvino

    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", **HINTS[precision]}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    if isinstance(model, (str, Path, bytes)):
        model = core.read_model(model if isinstance(model, bytes) else str(model))
    return core.compile_model(model, "CPU", options)


def open_torchscript(model: str | Path) -> Any:
    """Open a ``torch.jit.ScriptModule``."""
    import torch

    return torch.jit.load(str(model), map_location="cpu")  # type: ignore[no-untyped-call]
