"""What this machine can compute at most: the best of several kernels, each a large product or convolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from monai_lesion.benchmark.workers import timed
from monai_lesion.machine.packages import is_installed, load_package
from monai_lesion.runtimes.openvino_runtimes import compile_model

SIDE = 1536  # of the matrices; large beside what starting a kernel costs
CHANNELS, PIXELS, LAYERS = 256, 64, 3  # of the convolutions
RUNS = 5
Kernel = Callable[[], Any]


def kernels(precision: str, threads: int, *, avx2: bool = False) -> dict[str, Callable[[], float]]:
    """Kernels of a precision by name; each measures itself and gives GFLOP/s, a multiply-add counted as two.

    Not PyTorch's matrix product alone: OpenVINO's convolutions run at more than twice its pace on some machines.

    Args:
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        threads: how many.
        avx2: whether this process is limited to AVX2; OpenVINO's matrix product, which does not know, is left out.
    """
    product, convolution = 2 * SIDE**3, LAYERS * 2 * 9 * CHANNELS**2 * PIXELS**2
    found: dict[str, tuple[Kernel, int]] = {}
    for name, (make, flops) in {
        "torch matmul": (_torch_matmul, product),
        "torch convolution": (_torch_convolution, convolution),
    }.items():
        kernel = make(precision, threads)
        if kernel is not None:
            found[name] = kernel, flops
    if precision == "fp32":
        a = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
        found["numpy matmul"] = partial(np.matmul, a, a), product
    if is_installed("openvino"):
        for name, dense, flops in (("matmul", True, product), ("convolution", False, convolution)):
            if not (avx2 and dense):
                found[f"openvino {name}"] = _openvino(precision, threads, dense=dense), flops
    return {name: partial(_pace, run, flops) for name, (run, flops) in found.items()}


def _pace(run: Kernel, flops: int) -> float:
    return flops / min(timed(run, RUNS)) / 1e6


def _torch_matmul(precision: str, threads: int) -> Kernel | None:
    import torch

    torch.set_num_threads(threads)
    if precision == "int8":
        a = torch.randint(-64, 64, (SIDE, SIDE), dtype=torch.int8)
        return partial(torch._int_mm, a, a)
    b = torch.rand(SIDE, SIDE).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return partial(torch.mm, b, b)


def _torch_convolution(precision: str, threads: int) -> Kernel | None:
    import torch
    from torch import nn

    if precision == "int8":
        return None
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layers = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(LAYERS)]
    network = nn.Sequential(*layers).to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(1, CHANNELS, PIXELS, PIXELS).to(dtype).to(memory_format=torch.channels_last)
    return torch.inference_mode()(partial(network, image))  # type: ignore[no-any-return]


def _openvino(precision: str, threads: int, *, dense: bool) -> Kernel:
    openvino = load_package("openvino")
    ops = load_package("openvino.opset13")
    random = np.random.default_rng(0)

    def levels(x: Any, most: float, count: int) -> Any:
        low, high = np.float32(-most), np.float32(most)
        return ops.fake_quantize(x, low, high, low, high, count) if precision == "int8" else x

    def weights(*shape: int) -> Any:
        return levels(ops.constant((random.random(shape, dtype=np.float32) - 0.5) / 50), 0.01, 255)

    shape = [SIDE, SIDE] if dense else [1, CHANNELS, PIXELS, PIXELS]
    image = ops.parameter(shape, np.float32)
    if dense:
        result = ops.matmul(levels(image, 1.0, 256), weights(SIDE, SIDE), False, False)
    else:
        result = image
        for _ in range(LAYERS):
            result = ops.convolution(
                levels(result, 1.0, 256), weights(CHANNELS, CHANNELS, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]
            )
    model = openvino.Model([result], [image])
    request = compile_model(model, precision=precision, threads=threads).create_infer_request()
    request.set_input_tensor(openvino.Tensor(random.random(shape, dtype=np.float32)))
    return request.infer  # type: ignore[no-any-return]
