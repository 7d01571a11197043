"""What this machine can compute at most, in GFLOP/s: several kernels, each a large product or convolution.

    python benchmarks/peaks.py [--precision fp32 bf16 int8] [--threads 2]

A multiply-add counts as two. Not PyTorch's matrix product alone: OpenVINO's convolutions run at more than twice its
pace on some machines. Set the best kernel of a precision beside the column GFLOP/s of `monai-lesion benchmark`, taken
just before or after it; `benchmarks/older_processor.py` limits both to AVX2.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from monai_lesion.machine.packages import is_installed, load_package
from monai_lesion.machine.processors import processor

SIDE = 1536  # of the matrices; large beside what starting a kernel costs
CHANNELS, PIXELS, LAYERS = 256, 64, 3  # of the convolutions
RUNS = 5
PRODUCT, CONVOLUTION = 2 * SIDE**3, LAYERS * 2 * 9 * CHANNELS**2 * PIXELS**2  # operations
Kernel = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "int8"), default=["fp32", "bf16", "int8"])
    parser.add_argument("--threads", type=int, default=processor().cores)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{processor()}; {options.threads} threads\n\n| precision | kernel | GFLOP/s |\n|---|---|---:|")
    for precision in options.precision:
        for name, (kernel, flops) in kernels(precision, options.threads).items():
            try:
                print(f"| {precision} | {name} | {flops / fastest(kernel) / 1e9:.0f} |")
            except RuntimeError as error:  # a kernel that this processor lacks; others remain
                print(f"| {precision} | {name} | {str(error).splitlines()[0]} |")


def fastest(kernel: Kernel) -> float:
    """Seconds of the best run, after one that is not counted."""
    kernel()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        kernel()
        times.append(time.perf_counter() - start)
    return min(times)


def kernels(precision: str, threads: int) -> dict[str, tuple[Kernel, int]]:
    """The kernels of a precision by name, each with its operations."""
    limited = os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2"  # which OpenVINO's matrix product does not know
    found = {"torch matmul": (_torch_matmul(precision), PRODUCT)}
    if precision != "int8":
        found["torch convolution"] = _torch_convolution(precision), CONVOLUTION
    if precision == "fp32":
        a = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
        found["numpy matmul"] = partial(np.matmul, a, a), PRODUCT
    if is_installed("openvino"):
        found["openvino convolution"] = _openvino(precision, threads, dense=False), CONVOLUTION
        if not limited:
            found["openvino matmul"] = _openvino(precision, threads, dense=True), PRODUCT
    return found


def _torch_matmul(precision: str) -> Kernel:
    if precision == "int8":
        a = torch.randint(-64, 64, (SIDE, SIDE), dtype=torch.int8)
        return partial(torch._int_mm, a, a)
    b = torch.rand(SIDE, SIDE).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return partial(torch.mm, b, b)


def _torch_convolution(precision: str) -> Kernel:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layers = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(LAYERS)]
    network = nn.Sequential(*layers).to(dtype).to(memory_format=torch.channels_last)
    image = torch.rand(1, CHANNELS, PIXELS, PIXELS).to(dtype).to(memory_format=torch.channels_last)
    return torch.inference_mode()(partial(network, image))


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
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision != "int8":
        options["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    compiled = openvino.Core().compile_model(openvino.Model([result], [image]), "CPU", options)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(random.random(shape, dtype=np.float32)))
    return request.infer


if __name__ == "__main__":
    main()
