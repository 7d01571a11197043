"""Which network with which weights it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from monai_lesion._version import __version__
from monai_lesion.machine.packages import versions
from monai_lesion.machine.processors import processor


def weights_id(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the sorted names, types, shapes and bytes of a network's tensors, in hexadecimal digits.

    The same weights have the same id in a checkpoint, in an exported model and in memory. The hash of a file cannot do
    this: PyTorch writes the file's name into it, and a file may hold the weights at half precision.

    Args:
        state: the state dict of the network as it computes, which is float32 after loading.

    Example:
        >>> weights_id({"a": torch.ones(2)}) == weights_id({"a": torch.ones(1, 2)})
        False
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def is_ours(network: nn.Module) -> bool:
    """Whether class, arguments and weights say all about what a network computes."""
    return type(network).__module__.startswith("monai_lesion.networks.")


def facts(network: nn.Module, **more: Any) -> dict[str, Any]:
    """Network, weights, packages and machine: what a measured time or a quantised model depends on."""
    return {
        "network": hashlib.sha256(repr(network).encode()).hexdigest()[:16],
        "stride": getattr(network, "stride", None),  # of an FCN: in neither its layers nor its weights
        "weights_id": weights_id(network.state_dict()),
        "monai_lesion": __version__,
        "packages": versions(["torch", "onnx", "onnxruntime", "openvino", "nncf"]),
        "processor": str(processor()),
        **more,
    }
