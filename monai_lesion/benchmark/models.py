"""The files that the rows of a network are opened from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from monai_lesion.benchmark.entries import Entry

FEW = 4  # pictures for statistics where nothing is trained


def prepare(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write what one row needs into a folder.

    Args:
        request: ``network``, ``width`` and ``weights`` of the entry; ``runtime`` and ``precision``;
            ``folder``; ``pictures``, a NumPy file; for int8 of a trained network ``manifest``, ``dataset_dir`` and
            ``calibration``, the number of images.

    Returns:
        The file and its bytes. The plain way and PyTorch share the weights' file.

    Raises:
        InputError: for a missing package or a network that cannot be converted or quantised.
    """
    folder, runtime, precision = Path(request["folder"]), request["runtime"], request["precision"]
    weights = request.get("weights")
    entry = Entry(request["network"], request["width"], Path(weights) if weights else None)
    pictures = np.load(request["pictures"], mmap_mode="r")
    size = pictures.shape[2:]
    if runtime == "plain":
        file = folder / "network.pt"
        network = entry.build()
        if entry.weights is None:
            spread(network, torch.from_numpy(np.ascontiguousarray(pictures[:FEW])))
        content = {"network": entry.network, "width": entry.width, "state": network.state_dict()}
        torch.save(content, file)
        return {"file": str(file), "bytes": file.stat().st_size}
    network = read_network(folder / "network.pt")
    if runtime.startswith("torch"):
        from monai_lesion.runtimes.reparameterize import reparameterize

        merged = reparameterize(network).to(torch.bfloat16 if precision == "bf16" else torch.float32)
        total = sum(tensor.numel() * tensor.element_size() for tensor in merged.state_dict().values())
        return {"file": str(folder / "network.pt"), "bytes": total}
    kind = "int8" if precision == "int8" else "fp32"  # bf16 is made of fp32 by the runtime
    accurate = kind == "int8" and entry.weights is not None and bool(request.get("manifest"))
    file = folder / (f"int8-{runtime}.onnx" if accurate else f"{kind}.onnx")
    if not file.is_file():
        file.write_bytes(_onnx(network, request, pictures, size, accurate=accurate))
    return {"file": str(file), "bytes": file.stat().st_size}


def _onnx(
    network: nn.Module, request: Mapping[str, Any], pictures: Any, size: tuple[int, int], accurate: bool
) -> bytes:
    from monai_lesion.runtimes.conversions import to_onnx
    from monai_lesion.runtimes.quantization import CalibrationImages, calibration_images, quantise

    runtime, manifest = request["runtime"], request.get("manifest")
    model = to_onnx(network, size)
    if request["precision"] != "int8":
        return bytes(model.SerializeToString())
    if accurate and manifest:
        most = int(request["calibration"])
        calibration = calibration_images(manifest, request.get("dataset_dir"), spatial_size=size, most=most)
        return bytes(quantise(model, calibration, runtime=runtime).SerializeToString())
    # Enough for the time it takes; what accuracy there is stays as quantisation leaves it.
    few = [np.ascontiguousarray(each[None]) for each in pictures[:FEW]]
    with torch.inference_mode():
        labels = [network(torch.from_numpy(each))[0, 0].numpy() >= 0 for each in few]
    return bytes(quantise(model, CalibrationImages(few, few, labels), max_drop=1.0).SerializeToString())


def read_network(file: Path) -> nn.Module:
    """The network of a file that :func:`prepare` wrote."""
    content = torch.load(file, map_location="cpu", weights_only=True)
    entry = Entry(content["network"], content["width"])
    network = entry.build()
    network.load_state_dict(content["state"])
    return network


@torch.inference_mode()
def spread(network: nn.Module, pictures: torch.Tensor) -> None:
    """Give a network that nobody trained statistics of real activations, and masks neither empty nor full."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the mean over all pictures
    network.train()
    network(pictures)
    logits = network.eval()(pictures)
    last = [module for module in network.modules() if isinstance(module, nn.modules.conv._ConvNd)][-1]
    if last.bias is not None:
        last.bias.sub_(logits.median())
