"""Jobs of a row's process: open the network in its runtime, time it, measure its memory, compute its masks.

PyTorch is imported only if it runs the network, so that each row's memory is its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.benchmark.settings import Setting
from monai_lesion.machine.memory import peak_bytes

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_row: dict[str, Any] = {}  # the one that this process has opened


def open_row(setting: Setting, model: Path, network: Path, pictures: Path, threads: int) -> str:
    """Open a network and run it once.

    Args:
        setting: the runtime and precision.
        model: model file for ONNX Runtime and OpenVINO.
        network: file for PyTorch, as :func:`~monai_lesion.benchmark.model_files.write_model` wrote it.
        pictures: a NumPy file ``(images, 3, rows, columns)``.
        threads: number of threads.

    Returns:
        What the runtime says of the instruction set that it uses.

    Raises:
        ValueError: when the processor lacks the precision.
    """
    _row["pictures"] = np.load(pictures, mmap_mode="r")
    _row["run"], instructions = _open(setting, model, network, threads)
    _row["run"](_picture(0))
    return instructions


def time_row(count: int) -> list[float]:
    """Time ``count`` runs in a row, in milliseconds, after one that is not counted."""
    run, first, times = _row["run"], _picture(0), []
    run(first)
    for _ in range(count):
        start = time.perf_counter()
        run(first)
        times.append(1000 * (time.perf_counter() - start))
    return times


def peak_megabytes() -> float | None:
    """Give the most memory that this process has had; None if unknown."""
    peak = peak_bytes()
    return None if peak is None else peak / 1e6


def write_masks(file: Path) -> None:
    """Write the masks of all pictures.

    Raises:
        ValueError: when the runtime returns values that are not finite.
    """
    np.save(file, np.stack([_mask(_row["run"](_picture(number))) for number in range(len(_row["pictures"]))]))


def _picture(number: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(_row["pictures"][number : number + 1])


def _mask(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    if not np.isfinite(logits).all():
        raise ValueError("its logits must be numbers, got nan or infinity: this runtime computes wrong values here")
    return np.asarray(logits[0, 0] >= 0)


def _open(setting: Setting, model: Path, network: Path, threads: int) -> tuple[Run, str]:
    if setting.runtime == "onnx":
        from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

        return OnnxRuntime(model, precision=setting.precision, threads=threads), ""
    if setting.runtime == "openvino":
        from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

        opened = OpenVinoRuntime(model, precision=setting.precision, threads=threads)
        _same(opened.precision, setting.precision)
        return opened, ", ".join(sorted(_primitives(opened.request.get_compiled_model())))
    import torch

    from monai_lesion.benchmark.model_files import read_network

    torch.set_num_threads(threads)
    module = read_network(network)
    capability = torch.backends.cpu.get_cpu_capability()
    if setting.runtime != "plain":
        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        fast = TorchRuntime(module, precision=setting.precision, compiled=setting.runtime == "torch-compile")
        _same(fast.precision, setting.precision)
        return fast, capability

    @torch.inference_mode()
    def plain(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return logits

    return plain, capability


def _same(used: str, wanted: str) -> None:
    if used != wanted:
        raise ValueError(f"this processor has no {wanted} arithmetic")


def _primitives(compiled: Any) -> set[str]:
    """Name the kernels that OpenVINO chose for the convolutions; the names tell the instruction set."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return {each["primitiveType"].value for each in facts if each["layerType"].value == "Convolution"}
