"""Runtimes and precisions to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_lesion.errors import InputError


@dataclass(frozen=True)
class Setting:
    """How to run a network.

    Args:
        runtime: see :func:`~monai_lesion.runtimes.factories.open_runtime`, or ``"plain"``.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.

    Example:
        >>> Setting("openvino", "int8").name
        'openvino-int8'
    """

    runtime: str
    precision: str

    @property
    def name(self) -> str:
        """Name on the command line."""
        return f"{self.runtime}-{self.precision}"


PLAIN = Setting("plain", "fp32")  # PyTorch as anyone would use it: what all others are compared with
SETTINGS: tuple[Setting, ...] = (
    Setting("torch", "fp32"),
    Setting("torch", "bf16"),
    Setting("torch-compile", "fp32"),
    Setting("onnx", "fp32"),
    Setting("onnx", "int8"),
    Setting("openvino", "fp32"),
    Setting("openvino", "bf16"),
    Setting("openvino", "int8"),
)
USUAL = tuple(each.name for each in SETTINGS if each.runtime != "torch-compile")  # which translates for a minute a row


def find_settings(names: Sequence[str]) -> list[Setting]:
    """Find settings by name; a runtime without a precision means all its precisions.

    Raises:
        InputError: for an unknown name, or no name at all.

    Example:
        >>> [each.name for each in find_settings(["onnx", "openvino-int8"])]
        ['onnx-fp32', 'onnx-int8', 'openvino-int8']
    """
    found: dict[Setting, None] = {}
    for name in names:
        wanted = [each for each in SETTINGS if name in (each.name, each.runtime)]
        if not wanted:
            fix = "benchmarks/older_processor.py limits a whole benchmark to AVX2" if name.endswith("-avx2") else ""
            known = ", ".join(each.name for each in SETTINGS)
            raise InputError("--runtimes", f"must be one of {known}, or a runtime alone", got=name, fix=fix)
        found |= dict.fromkeys(wanted)
    if not found:
        raise InputError("--runtimes", "must name at least one", got="none")
    return list(found)
