"""Identify a network with its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch


def weights_id(state: Mapping[str, torch.Tensor]) -> str:
    """Hash (SHA-256) the sorted names, types, shapes and bytes of a network's tensors, in hexadecimal digits.

    The same weights have the same id in a checkpoint, in an exported model and in memory. The hash of a file would not:
    PyTorch writes the file's name into it, and a file may hold the weights in half precision.

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
