"""Weights into a network, or one clear reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.deeplabv3plus import DeepLabV3Plus
from monai_lesion.networks.fcn import FCN
from monai_lesion.networks.unet import ENCODER_CHANNELS, LighterUNet, LightUNet, UNet

WHOLE_MODULES = "Files with whole modules, as the paper's authors released, need networks.published.load_published"
_DEFAULTS = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1}


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read ``{"model": state_dict}`` without unpickling anything but tensors.

    Args:
        path: the file; a plain state dict is read as well.

    Raises:
        CheckpointError: when the file is missing, damaged or something else.
    """
    file = Path(path)
    if not file.is_file():
        fix = "Train first (monai.bundle run training), or name the weights"
        raise CheckpointError(file, "the weights must exist", got="no file", fix=fix)
    if file.stat().st_size == 0:
        raise CheckpointError(file, "must hold weights", got="an empty file")
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; each means the same to the user
        reason, fix = (str(error) or type(error).__name__).splitlines()[0], ""
        if reason.startswith("Weights only load failed"):  # torch goes on to recommend the unsafe way
            module = re.search(r"GLOBAL ([\w.]+)", str(error))
            reason = f"a {module[1]}" if module else "no file of PyTorch"
            fix = WHOLE_MODULES if module else ""
        raise CheckpointError(file, "must hold tensors only", got=reason, fix=fix) from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        got, fix = type(content).__name__, ""
        if isinstance(content, dict) and {"network", "optimizer"} <= content.keys():
            got, fix = "the state of a training", "Name the model.pt beside it"
        raise CheckpointError(file, 'must be {"model": state_dict}', got=got, fix=fix)
    return state


def identify(shapes: Mapping[str, tuple[int, ...]]) -> tuple[type[nn.Module], dict[str, Any]] | None:
    """Which network of the paper has tensors of these shapes.

    Args:
        shapes: the shape of each tensor of a state dict.

    Returns:
        The class and its arguments, or None for another network. The three strides of :class:`FCN` have the same
        shapes: its ``stride`` is not among the arguments.

    Example:
        >>> network = LighterUNet(in_channels=1, group_size=8)
        >>> identify({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})[1]
        {'spatial_dims': 2, 'in_channels': 1, 'out_channels': 1, 'group_size': 8}
    """
    plain, grouped = "encoder.0.set{}.conv.weight", "encoder.0.set{}.conv.grouped.weight"
    starts = (plain.format(1), grouped.format(1), "encoder.0.0.weight", "backbone.early.0.0.weight")
    start = next((name for name in starts if name in shapes), "")
    first, head = shapes.get(start, ()), shapes.get("head.weight", ())
    if len(head) not in (4, 5) or len(first) != len(head):
        return None
    arguments: dict[str, Any] = {"spatial_dims": len(head) - 2, "in_channels": first[1], "out_channels": head[0]}
    if start == starts[2]:
        return FCN, arguments
    if start == starts[3]:
        return DeepLabV3Plus, arguments | {"backbone": "resnet101" if first[0] == 64 else "mobilenetv2"}
    width = shapes.get("encoder.0.set1.norm.weight", ENCODER_CHANNELS)[0] / ENCODER_CHANNELS[0]
    if width != 1:
        arguments["width"] = width
    if plain.format(1) in shapes:
        return (UNet if plain.format(2) in shapes else LightUNet), arguments
    # The first layer has a rule of its own, and narrow layers have fewer channels than C: the widest group is C.
    sizes = [
        shape[1]
        for name, shape in shapes.items()
        if name.endswith(".grouped.weight") and name != grouped.format(1) and len(shape) == len(head)
    ]
    if not sizes:
        return None
    return LighterUNet, arguments | {"in_channels": first[0], "group_size": max(sizes)}


def describe(state: Mapping[str, torch.Tensor]) -> str:
    """Which network a state dict belongs to, as one would write it.

    Example:
        >>> describe(LighterUNet(group_size=8).state_dict())
        'LighterUNet(group_size=8)'
    """
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    if found is None:
        return "another network"
    kind, arguments = found
    told = [f"{name}={value!r}" for name, value in arguments.items() if _DEFAULTS.get(name) != value]
    return f"{kind.__name__}({', '.join(told)})"


def _override(state: Mapping[str, torch.Tensor]) -> str:
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    if found is None:
        return ""
    kind, arguments = found
    if kind is LighterUNet and "width" not in arguments:
        return f": network_def#group_size {arguments['group_size']}"
    told = {name: value for name, value in arguments.items() if _DEFAULTS.get(name) != value}
    return f': network_def "{ {"_target_": f"monai_lesion.networks.{kind.__name__}", **told} }"'


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
        if any(".double_conv." in name for name in state):
            found, fix = "weights with the authors' names", "Load them with networks.published.load_published"
        else:
            fix = f"Set network_def to the network that was trained{_override(state)}"
        raise CheckpointError(path, f"must hold weights of {describe(own)}", got=found, fix=fix)
    network.load_state_dict(state)
    return network


def start_from(network: nn.Module, path: str | Path | None) -> nn.Module:
    """The network with the weights that a training starts from; as it is where none are named.

    Args:
        network: the network; changed in place.
        path: as of :func:`load_weights`, or None.

    Raises:
        CheckpointError: as :func:`load_weights`.
    """
    return network if path is None else load_weights(network, path)
