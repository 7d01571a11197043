"""Run networks in ONNX Runtime; imports neither PyTorch nor MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.runtimes.interfaces import Floats, Outputs, Runtime, joined
from monai_lesion.runtimes.sessions import open_onnx


def open_session(model: str | Path | bytes, *, threads: int | None = None) -> Any:
    """Open an ONNX model as :func:`~monai_lesion.runtimes.sessions.open_onnx` does, with one kind of error.

    Raises:
        InputError: when ONNX Runtime is not installed or refuses the model.
    """
    load_package("onnxruntime")
    try:
        return open_onnx(model, threads=threads)
    except Exception as error:  # ONNX Runtime raises many kinds; each means the same to the user
        where = "model" if isinstance(model, bytes) else model
        reason = str(error).splitlines()[0]
        raise InputError(where, "must be a model that ONNX Runtime can run", got=reason) from error


def check_precision(precision: str) -> None:
    """Check that ONNX Runtime has a precision.

    Raises:
        InputError: when it does not.
    """
    if precision not in ("fp32", "int8"):
        fix = "bf16 needs torch or openvino"
        raise InputError("precision", "of ONNX Runtime must be fp32 or int8", got=precision, fix=fix)


class OnnxRuntime(Runtime):
    """An ONNX model of one image, run by ONNX Runtime.

    Args:
        model: a file, or its bytes; it takes ``(1, 3, H, W)``.
        precision: what the model holds, ``"fp32"`` or ``"int8"``.
        threads: threads to use; None takes one per core.

    Raises:
        InputError: for another precision, or when :func:`open_session` fails.
    """

    def __init__(self, model: str | Path | bytes, *, precision: str = "fp32", threads: int | None = None) -> None:
        check_precision(precision)
        self.session = open_session(model, threads=threads)
        (wanted,) = self.session.get_inputs()
        super().__init__("onnx", precision, (wanted.shape[2], wanted.shape[3]))
        self.input = wanted.name

    def run(self, images: Floats) -> Outputs:
        """Compute the outputs, image by image."""
        return joined([Outputs(*self.session.run(None, {self.input: image[None]})) for image in images], images)
