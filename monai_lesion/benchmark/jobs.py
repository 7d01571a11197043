"""What the processes of a benchmark do: prepare a model, run a row, measure the machine's ceiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.benchmark.workers import timed
from monai_lesion.machine.memory import peak_bytes

Handle = Callable[[dict[str, Any]], dict[str, Any]]
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def start_job(request: Mapping[str, Any]) -> tuple[Handle, dict[str, Any]]:
    """Begin a job; gives what answers its further requests, and the answer to this one."""
    job = request["job"]
    if job == "row":
        return _start_row(request)
    if job == "prepare":
        from monai_lesion.benchmark.models import prepare

        return prepare, {}
    if job == "ceiling":
        from monai_lesion.benchmark.ceilings import kernels

        found = kernels(request["precision"], request["threads"], avx2=request["avx2"])
        return (lambda _: {"gflops": _paces(found)}), {"kernels": list(found)}
    raise ValueError(f"there is no job {job}")


def _mask(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    if not np.isfinite(logits).all():
        raise ValueError("its logits must be numbers, got nan or infinity: this way computes wrong values here")
    return np.asarray(logits[0, 0] >= 0)


def _paces(found: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    paces = {}
    for name, pace in found.items():
        try:
            paces[name] = pace()
        except RuntimeError:  # a kernel that this processor lacks; others remain
            continue
    return paces


def _start_row(request: Mapping[str, Any]) -> tuple[Handle, dict[str, Any]]:
    """Open a network in a runtime; PyTorch is imported only where it runs."""
    pictures = np.load(request["pictures"], mmap_mode="r")
    first = np.ascontiguousarray(pictures[:1])
    run, instructions = _open(request)
    run(first)

    def handle(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "time":
            return {"ms": timed(lambda: run(first), int(asked["count"]))}
        if asked["do"] == "memory":
            peak = peak_bytes()
            return {"mb": None if peak is None else peak / 1e6}
        if asked["do"] == "masks":
            np.save(asked["file"], np.stack([_mask(run(np.ascontiguousarray(each[None]))) for each in pictures]))
            return {}
        raise ValueError(f"there is nothing called {asked['do']}")

    return handle, {"instructions": instructions}


def _open(request: Mapping[str, Any]) -> tuple[Run, str]:
    runtime, precision, threads = str(request["runtime"]), str(request["precision"]), int(request["threads"])
    if runtime == "onnx":
        from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

        return OnnxRuntime(request["model"], precision=precision, threads=threads), ""
    if runtime == "openvino":
        from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

        opened = OpenVinoRuntime(request["model"], precision=precision, threads=threads)
        _same(opened.precision, precision)
        return opened, ", ".join(sorted(_primitives(opened.request.get_compiled_model())))
    import torch

    torch.set_num_threads(threads)
    from monai_lesion.benchmark.models import read_network

    network = read_network(Path(request["network"]))
    capability = torch.backends.cpu.get_cpu_capability()
    if runtime != "plain":
        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        opened_torch = TorchRuntime(network, precision=precision, compiled=runtime == "torch-compile")
        _same(opened_torch.precision, precision)
        return opened_torch, capability

    @torch.inference_mode()
    def plain(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return logits

    return plain, capability


def _same(used: str, wanted: str) -> None:
    if used != wanted:
        raise ValueError(f"this processor has no {wanted} arithmetic")


def _primitives(compiled: Any) -> set[str]:
    """The kernels that OpenVINO chose for the convolutions, which name their instruction set."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return {each["primitiveType"].value for each in facts if each["layerType"].value == "Convolution"}
