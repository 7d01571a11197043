"""Open a runtime for a network, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import NAMES, Execution
from monai_lesion.runtimes.interfaces import Runtime


def open_runtime(network: nn.Module, steps: Steps, execution: Execution) -> Runtime:
    """Open the runtime that runs a network.

    Args:
        network: the trained network, which takes RGB; it is copied.
        steps: its input size, and the threshold for the comparison that ``"auto"`` makes.
        execution: which runtime; model folders are opened in :mod:`monai_lesion.models.folders` instead.

    Raises:
        InputError: for an unknown name, a precision that the runtime lacks, or a package that is not installed.
    """
    runtime, device = execution.runtime, execution.device
    if isinstance(runtime, Runtime):
        return runtime
    if runtime == "auto":
        from monai_lesion.runtimes.choices import choose

        return choose(network, steps, execution, lambda one: open_runtime(network, steps, one))
    if runtime not in NAMES:
        raise InputError("runtime", f"must be auto, {', '.join(NAMES)} or the folder of a model", got=runtime)
    precision = execution.precision or "fp32"
    if runtime in ("torch", "torch-compile"):
        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        return TorchRuntime(network, precision=precision, compiled=runtime == "torch-compile", device=device)
    execution.check_cpu()
    load_package("onnxruntime" if runtime == "onnx" else "openvino")  # before the long work
    if runtime == "onnx":
        from monai_lesion.runtimes.onnx_runtimes import check_precision

        check_precision(precision)
    from monai_lesion.runtimes.conversions import to_onnx

    kind = replace(execution, precision=precision)
    return open_model(lambda: to_onnx(network, steps.input_size), steps, kind)


def open_model(make: Callable[[], Any], steps: Steps, execution: Execution) -> Runtime:
    """Make an ONNX model and open a runtime for it.

    Args:
        make: returns the float32 ``onnx.ModelProto``.
        steps: what happens before and after the network.
        execution: ``"onnx"`` or ``"openvino"``, and a precision.
    """
    from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime
    from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

    name, precision = str(execution.runtime), execution.precision or "fp32"
    if precision == "int8":
        from monai_lesion.runtimes.quantization import quantise

        model = quantise(make(), execution.calibration_images(steps.input_size), runtime=name)
    else:
        model = make()
    kind = OnnxRuntime if name == "onnx" else OpenVinoRuntime
    return kind(model.SerializeToString(), precision=precision)
