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


def weights_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes of a state dict, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def is_ours(network: nn.Module) -> bool:
    """Whether class, arguments and weights say all about what a network computes."""
    return type(network).__module__.startswith("monai_lesion.networks.")


def facts(network: nn.Module, **more: Any) -> dict[str, Any]:
    """Network, weights, packages and machine: what a measured time or a quantised model depends on."""
    return {
        "network": hashlib.sha256(repr(network).encode()).hexdigest()[:16],
        "stride": getattr(network, "stride", None),  # of an FCN: in neither its layers nor its weights
        "weights": weights_hash(network.state_dict()),
        "monai_lesion": __version__,
        "packages": versions(["torch", "onnx", "onnxruntime", "openvino", "nncf"]),
        "processor": str(processor()),
        **more,
    }
