"""The ways to run a network that are compared, and how a process is limited to older instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from monai_lesion.errors import InputError

# Each was tried (docs/how-to/benchmark.md). ONNX Runtime asks the processor itself and has no switch.
AVX2: Mapping[str, str] = MappingProxyType(
    {
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # the convolutions of PyTorch and OpenVINO
        "DNNL_MAX_CPU_ISA": "AVX2",  # the same, in older versions
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # PyTorch's matrix products
        "OPENBLAS_CORETYPE": "Haswell",  # NumPy's
    }
)


@dataclass(frozen=True)
class Way:
    """A way to run a network.

    Args:
        runtime: as of :func:`~monai_lesion.runtimes.factories.open_runtime`, or ``"plain"``.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        avx2: whether the process does without newer instructions.

    Example:
        >>> Way("openvino", "int8", avx2=True).name
        'openvino-int8-avx2'
    """

    runtime: str
    precision: str
    avx2: bool = False

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.runtime}-{self.precision}{'-avx2' if self.avx2 else ''}"

    def environment(self, threads: int) -> dict[str, str]:
        """Environment variables of the process that runs it."""
        counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        return counts | (dict(AVX2) if self.avx2 else {})


PLAIN = Way("plain", "fp32")
WAYS: tuple[Way, ...] = (
    Way("torch", "fp32"),
    Way("torch", "bf16"),
    Way("torch-compile", "fp32"),
    Way("onnx", "fp32"),
    Way("onnx", "int8"),
    Way("openvino", "fp32"),
    Way("openvino", "bf16"),
    Way("openvino", "int8"),
    Way("torch", "fp32", avx2=True),
    Way("openvino", "fp32", avx2=True),
    Way("openvino", "int8", avx2=True),
)
# torch-compile translates for a minute in each process; OpenVINO's int8 without VNNI computes wrong values where that
# limit is only feigned (docs/how-to/benchmark.md).
USUAL = tuple(way.name for way in WAYS if way.name not in ("torch-compile-fp32", "openvino-int8-avx2"))


def find_ways(names: Sequence[str]) -> list[Way]:
    """The ways of these names; the name of a runtime alone means all its precisions, without limits.

    Raises:
        InputError: for a name that is not known, or for none.

    Example:
        >>> [way.name for way in find_ways(["onnx", "openvino-int8-avx2"])]
        ['onnx-fp32', 'onnx-int8', 'openvino-int8-avx2']
    """
    found: dict[str, Way] = {}
    for name in names:
        wanted = [way for way in WAYS if name == way.name or (name == way.runtime and not way.avx2)]
        if not wanted:
            fix = "ONNX Runtime cannot be limited to AVX2" if name.startswith("onnx") and name.endswith("avx2") else ""
            known = ", ".join(way.name for way in WAYS)
            raise InputError("--runtimes", f"must be of {known}, or a runtime alone", got=name, fix=fix)
        found |= {way.name: way for way in wanted}
    if not found:
        raise InputError("--runtimes", "must name at least one", got="none")
    return list(found.values())
