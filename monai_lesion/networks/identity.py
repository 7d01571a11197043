"""Which weights a network has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch


def weights_id(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of each tensor of a state dict, sorted by name, in hexadecimal digits.

    Two files of the same weights have the same, whatever else the files hold.

    Example:
        >>> one, other = torch.zeros(2, 3), torch.ones(4)
        >>> weights_id({"a": one, "b": other}) == weights_id({"b": other, "a": one})
        True
        >>> weights_id({"a": one}) == weights_id({"a": one.reshape(3, 2)})
        False
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return digest.hexdigest()
