"""How many images a second EncoderUNet and its neighbours take in ONNX Runtime, on one core and in float32.

    python benchmarks/encoders.py [--repeats 40]

The network alone, merged for inference, batch 1, all taken in turns. The fastest run of each counts, because other work
on the machine only ever slows one down.
"""

from __future__ import annotations

import argparse
import io
import time

import torch
from torch import nn

from monai_lesion.machine.packages import load_package
from monai_lesion.networks import EncoderUNet, LightUNet, TrustHeads
from monai_lesion.networks.complexity import count_flops, count_parameters
from monai_lesion.runtimes.reparameterize import reparameterize

onnxruntime = load_package("onnxruntime")  # with its maker's reporting off


def encoder_unet(size: str, **options: object) -> EncoderUNet:
    return EncoderUNet(encoder=f"efficientnet-{size}", encoder_weights=None, **options)  # type: ignore[arg-type]


def shown() -> list[tuple[str, int, nn.Module]]:
    return [
        ("lite2, logits at 1/2", 192, encoder_unet("lite2", decoder_channels=(128, 64, 48, 32))),
        ("lite0", 192, encoder_unet("lite0")),
        ("lite0 with scores", 192, TrustHeads(encoder_unet("lite0"))),
        ("lite0, logits at 1/2", 192, encoder_unet("lite0", decoder_channels=(128, 64, 48, 32))),
        ("lite0 cut at stride 16", 160, encoder_unet("lite0", output_stride=16)),
        (
            "lite0 cut at stride 16, logits at 1/2",
            160,
            encoder_unet("lite0", output_stride=16, decoder_channels=(64, 48, 32)),
        ),
        (
            "lite0 cut at stride 16, logits at 1/4",
            160,
            encoder_unet("lite0", output_stride=16, decoder_channels=(64, 48)),
        ),
        ("Light U-net, width 0.125", 128, LightUNet(width=0.125)),
    ]


def session(network: nn.Module, picture: torch.Tensor) -> onnxruntime.InferenceSession:
    options, file = onnxruntime.SessionOptions(), io.BytesIO()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    torch.onnx.export(reparameterize(network), (picture,), file, dynamo=False, input_names=["image"])
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    runs = []
    for name, size, network in shown():
        picture = torch.rand(1, 3, size, size)
        cost = f"{count_parameters(network):,} | {count_flops(network, (1, 3, size, size)) / 1e9:.2f}"
        runs.append((f"{name} | {size} | {cost}", session(network, picture), {"image": picture.numpy()}))
    best = [float("inf")] * len(runs)
    for _ in range(repeats + 1):
        for number, (_, each, inputs) in enumerate(runs):
            start = time.perf_counter()
            each.run(None, inputs)
            best[number] = min(best[number], time.perf_counter() - start)
    print(f"ONNX Runtime {onnxruntime.__version__}, one thread, best of {repeats}")
    print("| network | input | parameters | GFLOP | images a second |\n|---|---:|---:|---:|---:|")
    for (title, *_), seconds in zip(runs, best, strict=True):
        print(f"| {title} | {1 / seconds:.0f} |")


if __name__ == "__main__":
    main()
