"""Weights into a network, or one clear reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import CheckpointError


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read ``{"model": state_dict}`` without unpickling anything but tensors.

    Raises:
        CheckpointError: when the file is missing, damaged or something else.
    """
    file = Path(path)
    if not file.is_file():
        fix = "Train first (monai.bundle run training), or name the weights"
        raise CheckpointError(file, "the weights must exist", got="no file", fix=fix)
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; each means the same to the user
        reason = (str(error) or type(error).__name__).splitlines()[0]
        fix = "Files with whole modules, as the paper's authors released, need networks.published.load_published"
        raise CheckpointError(file, "must hold tensors only", got=reason, fix=fix) from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(file, 'must be {"model": state_dict}', got=type(content).__name__)
    return state


def describe(state: dict[str, torch.Tensor]) -> str:
    """Which network of the family a state dict belongs to."""
    if "encoder.1.stage.set2.conv.weight" in state:
        return "UNet"
    if "encoder.1.stage.set1.conv.weight" in state:
        return "LightUNet"
    size = [w.shape[1] for name, w in state.items() if name.endswith("conv.grouped.weight")]
    return f"LighterUNet(group_size={max(size)})" if size else "another network"


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """Load ``{"model": state_dict}`` into a network.

    Args:
        network: the network; changed in place.
        path: the file.

    Returns:
        The network.

    Raises:
        CheckpointError: when the file is missing, damaged, or belongs to another variant.
    """
    state, own = read_state(path), network.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        found = f"weights of {describe(state)} ({len(wrong)} tensors differ, first {wrong[0]})"
        fix = "Set network_def to the network that was trained, e.g. --network_def#group_size 16"
        raise CheckpointError(path, f"must hold weights of {describe(own)}", got=found, fix=fix)
    network.load_state_dict(state)
    return network
