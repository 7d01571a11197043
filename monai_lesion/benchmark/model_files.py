"""Write and read the files that the rows of a network open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from monai_lesion.benchmark.candidates import Candidate
from monai_lesion.benchmark.pictures import Calibration
from monai_lesion.benchmark.settings import Setting

FEW = 4  # pictures for statistics where nothing is trained


def write_model(
    candidate: Candidate, setting: Setting, folder: Path, pictures: Path, calibration: Calibration | None
) -> tuple[Path, int]:
    """Write what one row needs into a folder; rows with the same needs share it.

    Args:
        candidate: the network; plain PyTorch comes first and writes it, the others read it.
        setting: the runtime and precision.
        folder: folder for this network alone.
        pictures: a NumPy file ``(images, 3, rows, columns)``.
        calibration: images that calibrate the int8 model of a trained network.

    Returns:
        The file, and the size of the model in bytes.

    Raises:
        InputError: for a missing package or a network that cannot be converted or quantised.
    """
    images = np.load(pictures, mmap_mode="r")
    file = folder / "network.pt"
    if setting.runtime == "plain":
        network = candidate.build()
        if candidate.weights is None:
            spread(network, torch.from_numpy(np.ascontiguousarray(images[:FEW])))
        torch.save({"network": candidate.network, "width": candidate.width, "state": network.state_dict()}, file)
        return file, file.stat().st_size
    network = read_network(file)
    if setting.runtime.startswith("torch"):
        from monai_lesion.runtimes.reparameterize import reparameterize

        merged = reparameterize(network).to(torch.bfloat16 if setting.precision == "bf16" else torch.float32)
        return file, sum(tensor.numel() * tensor.element_size() for tensor in merged.state_dict().values())
    accurate = calibration if candidate.weights is not None else None
    kind = "int8" if setting.precision == "int8" else "fp32"  # bf16 is made of fp32 by the runtime
    file = folder / (f"int8-{setting.runtime}.onnx" if kind == "int8" and accurate else f"{kind}.onnx")
    if not file.is_file():
        file.write_bytes(_onnx(network, setting, images, accurate))
    return file, file.stat().st_size


def _onnx(network: nn.Module, setting: Setting, images: NDArray[np.float32], calibration: Calibration | None) -> bytes:
    from monai_lesion.runtimes.conversions import to_onnx
    from monai_lesion.runtimes.quantization import CalibrationImages, calibration_images, quantise

    size = images.shape[2:]
    model = to_onnx(network, size)
    if setting.precision != "int8":
        return bytes(model.SerializeToString())
    if calibration is not None:
        manifest, dataset_dir, most = calibration
        chosen = calibration_images(manifest, dataset_dir, spatial_size=size, most=most)
        return bytes(quantise(model, chosen, runtime=setting.runtime).SerializeToString())
    # Enough for the time it takes; what accuracy there is stays as quantisation leaves it.
    few = [np.ascontiguousarray(each[None]) for each in images[:FEW]]
    with torch.inference_mode():
        labels = [network(torch.from_numpy(each))[0, 0].numpy() >= 0 for each in few]
    return bytes(quantise(model, CalibrationImages(few, few, labels), max_drop=1.0).SerializeToString())


def read_network(file: Path) -> nn.Module:
    """Read the network from a file that :func:`write_model` wrote."""
    content = torch.load(file, map_location="cpu", weights_only=True)
    network = Candidate(content["network"], content["width"]).build()
    network.load_state_dict(content["state"])
    return network


@torch.inference_mode()
def spread(network: nn.Module, pictures: torch.Tensor) -> None:
    """Give an untrained network statistics from real activations, and masks that are neither empty nor full."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the mean over all pictures
    network.train()
    network(pictures)
    logits = network.eval()(pictures)
    last = [module for module in network.modules() if isinstance(module, nn.modules.conv._ConvNd)][-1]
    if last.bias is not None:
        last.bias.sub_(logits.median())
