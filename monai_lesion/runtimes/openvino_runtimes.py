"""Run networks in OpenVINO; imports neither PyTorch nor MONAI."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.machine.processors import supported
from monai_lesion.runtimes.interfaces import PRECISIONS, Floats, Outputs, Runtime, joined
from monai_lesion.runtimes.sessions import open_openvino


def compile_model(model: Any, *, precision: str, threads: int | None = None) -> Any:
    """Open a model as :func:`~monai_lesion.runtimes.sessions.open_openvino` does, with one kind of error.

    Raises:
        InputError: when OpenVINO is not installed or refuses the model.
    """
    load_package("openvino")
    try:
        return open_openvino(model, precision=precision, threads=threads)
    except Exception as error:  # OpenVINO raises RuntimeError for whatever it is
        where = model if isinstance(model, (str, Path)) else "model"
        reason = [line for line in str(error).splitlines() if line.strip()][-1].strip()
        raise InputError(where, "must be a model that OpenVINO can run", got=reason) from error


class OpenVinoRuntime(Runtime):
    """An ONNX or OpenVINO model of one image, run by OpenVINO.

    Args:
        model: a file (``.xml`` or ``.onnx``), or the bytes of an ONNX model; takes ``(1, 3, H, W)``.
        precision: ``"fp32"``, ``"bf16"``, or ``"int8"`` for a model that was quantised.
        threads: threads to use; None takes one per core.

    Raises:
        InputError: for another precision, or when :func:`compile_model` fails.
    """

    def __init__(self, model: str | Path | bytes, *, precision: str = "fp32", threads: int | None = None) -> None:
        if precision not in PRECISIONS:
            raise InputError("precision", f"must be one of {', '.join(PRECISIONS)}", got=precision)
        used = supported(precision, "openvino")
        self.request = compile_model(model, precision=used, threads=threads).create_infer_request()
        self.lock = Lock()  # a request serves one caller at a time
        _, _, rows, columns = self.request.model_inputs[0].shape
        super().__init__("openvino", used, (rows, columns))

    def run(self, images: Floats) -> Outputs:
        """Compute the outputs, image by image."""
        each = []
        with self.lock:
            for image in images:
                self.request.infer([image[None]])
                count = len(self.request.model_outputs)
                # Copies: the request computes the next image in the same memory.
                each.append(Outputs(*(np.array(self.request.get_output_tensor(i).data) for i in range(count))))
        return joined(each, images)
