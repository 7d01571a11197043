"""Networks run by OpenVINO; neither PyTorch nor MONAI is imported."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.machine.processors import supported
from monai_lesion.runtimes.interfaces import PRECISIONS, Floats, Runtime

# What is not int8 in an int8 model runs in whatever OpenVINO finds fastest.
HINTS = {"fp32": {"INFERENCE_PRECISION_HINT": "f32"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}, "int8": {}}


def compile_model(model: Any, *, precision: str, threads: int | None = None) -> Any:
    """A ``CompiledModel`` on the CPU, for short waits rather than for many images at once.

    Args:
        model: a file (``.xml`` or ``.onnx``), the bytes of an ONNX model, or an ``openvino.Model``.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``. Left to itself OpenVINO takes bf16 wherever it can.
        threads: how many; None takes one a core.

    Raises:
        InputError: when OpenVINO is not installed or refuses the model.
    """
    openvino = load_package("openvino")
    core = openvino.Core()
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", **HINTS[precision]}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        if isinstance(model, (str, Path, bytes)):
            model = core.read_model(model if isinstance(model, bytes) else str(model))
        return core.compile_model(model, "CPU", options)
    except Exception as error:  # OpenVINO raises RuntimeError for whatever it is
        where = model if isinstance(model, (str, Path)) else "model"
        reason = [line for line in str(error).splitlines() if line.strip()][-1].strip()
        raise InputError(where, "must be a model that OpenVINO can run", got=reason) from error


class OpenVinoRuntime(Runtime):
    """An ONNX or OpenVINO model of one image, run by OpenVINO.

    Args:
        model: a file (``.xml`` or ``.onnx``), or the bytes of an ONNX model; takes ``(1, 3, H, W)``.
        precision: ``"fp32"``, ``"bf16"``, or ``"int8"`` for a model that was quantised.
        threads: how many; None takes one a core.

    Raises:
        InputError: for another precision, or as :func:`compile_model`.
    """

    def __init__(self, model: str | Path | bytes, *, precision: str = "fp32", threads: int | None = None) -> None:
        if precision not in PRECISIONS:
            raise InputError("precision", f"must be of {', '.join(PRECISIONS)}", got=precision)
        used = supported(precision, "openvino")
        self.request = compile_model(model, precision=used, threads=threads).create_infer_request()
        self.lock = Lock()  # a request serves one caller at a time
        _, _, rows, columns = self.request.model_inputs[0].shape
        super().__init__("openvino", used, (rows, columns))

    def run(self, images: Floats) -> Floats:
        """Compute the logits, image by image."""
        logits = np.empty((len(images), 1, *images.shape[2:]), np.float32)
        with self.lock:
            for image, result in zip(images, logits, strict=True):
                self.request.infer([image[None]])
                result[...] = self.request.get_output_tensor(0).data[0]
        return logits
