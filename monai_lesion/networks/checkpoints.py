"""Weights into a network, or one clear reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import log2
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.deeplabv3plus import DeepLabV3Plus
from monai_lesion.networks.efficientnet_lite import ENCODERS, OUTPUT_STRIDES, EfficientNetLite
from monai_lesion.networks.encoder_unet import DECODER_CHANNELS, EncoderUNet
from monai_lesion.networks.fcn import FCN
from monai_lesion.networks.trust_heads import TrustHeads
from monai_lesion.networks.unet import ENCODER_CHANNELS, LighterUNet, LightUNet, UNet

WHOLE_MODULES = "Files with whole modules, as the paper's authors released, need networks.published.load_published"
_DEFAULTS = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, "hidden": 64}
_PACKAGE = "monai_lesion.networks"


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
    """Which network has tensors of these shapes.

    Args:
        shapes: the shape of each tensor of a state dict.

    Returns:
        The class and its arguments, or None for another network. The three strides of :class:`FCN` have the same
        shapes: its ``stride`` is not among the arguments. The network within :class:`TrustHeads` is written as a
        bundle's ``network_def``.

    Example:
        >>> network = LighterUNet(in_channels=1, group_size=8)
        >>> identify({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})[1]
        {'spatial_dims': 2, 'in_channels': 1, 'out_channels': 1, 'group_size': 8}
    """
    heads = [name for name in shapes if name.startswith(("presence.", "quality."))]
    if heads:
        inner = identify({name.removeprefix("network."): shapes[name] for name in shapes if name not in heads})
        if inner is None or "presence.numbers.weight" not in shapes:
            return None
        return TrustHeads, {"network": _definition(*inner), "hidden": shapes["presence.numbers.weight"][0]}
    plain, grouped = "encoder.0.set{}.conv.weight", "encoder.0.set{}.conv.grouped.weight"
    starts = (
        plain.format(1),
        grouped.format(1),
        "encoder.0.0.weight",
        "backbone.early.0.0.weight",
        "encoder.levels.0.0.0.weight",
    )
    start = next((name for name in starts if name in shapes), "")
    first, head = shapes.get(start, ()), shapes.get("head.weight", ())
    if len(head) not in (4, 5) or len(first) != len(head):
        return None
    arguments: dict[str, Any] = {"spatial_dims": len(head) - 2, "in_channels": first[1], "out_channels": head[0]}
    if start == starts[2]:
        return FCN, arguments
    if start == starts[3]:
        return DeepLabV3Plus, arguments | {"backbone": "resnet101" if first[0] == 64 else "mobilenetv2"}
    if start == starts[4]:
        return _identify_encoder_unet(shapes, arguments)
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


def _identify_encoder_unet(
    shapes: Mapping[str, tuple[int, ...]], arguments: dict[str, Any]
) -> tuple[type[nn.Module], dict[str, Any]] | None:
    own = {name.removeprefix("encoder."): shape for name, shape in shapes.items() if name.startswith("encoder.")}
    for encoder, stride in product(ENCODERS, OUTPUT_STRIDES):
        with torch.device("meta"):
            state = EfficientNetLite(encoder, arguments["in_channels"], output_stride=stride).state_dict()
        if own == {name: tuple(tensor.shape) for name, tensor in state.items()}:
            break
    else:
        return None
    arguments |= {"encoder": encoder, "encoder_weights": None}
    if stride != OUTPUT_STRIDES[0]:
        arguments["output_stride"] = stride
    stages = [f"decoder.{number}.stage.set1" for number in range(len(DECODER_CHANNELS))]
    channels = [shapes[f"{stage}.norm.weight"][0] for stage in stages if f"{stage}.norm.weight" in shapes]
    if tuple(channels) != DECODER_CHANNELS[-int(log2(stride)) :]:
        arguments["decoder_channels"] = channels
    # The layers narrower than a group are one group: the widest is the group size.
    sizes = [shape[1] for name, shape in shapes.items() if name.endswith("conv.grouped.weight")]
    if sizes != [1] * len(sizes) or not sizes:
        arguments["group_size"] = max(sizes, default=None)
    return EncoderUNet, arguments


def _definition(kind: type[nn.Module], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A network as the ``network_def`` of a bundle, without what is the default."""
    told = {name: value for name, value in arguments.items() if _DEFAULTS.get(name) != value or name not in _DEFAULTS}
    return {"_target_": f"{_PACKAGE}.{kind.__name__}", **told}


def _written(definition: Mapping[str, Any]) -> str:
    """A ``network_def`` as one would write it in Python."""
    kind = definition["_target_"].rpartition(".")[2]
    told = [
        f"{name}={_written(value) if isinstance(value, Mapping) else repr(value)}"
        for name, value in definition.items()
        if name not in ("_target_", "encoder_weights")
    ]
    return f"{kind}({', '.join(told)})"


def describe(state: Mapping[str, torch.Tensor]) -> str:
    """Which network a state dict belongs to, as one would write it.

    Example:
        >>> describe(LighterUNet(group_size=8).state_dict())
        'LighterUNet(group_size=8)'
        >>> describe(TrustHeads(LighterUNet(group_size=8)).state_dict())
        'TrustHeads(network=LighterUNet(group_size=8))'
    """
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    return "another network" if found is None else _written(_definition(*found))


def _override(state: Mapping[str, torch.Tensor]) -> str:
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    if found is None:
        return ""
    kind, arguments = found
    if kind is LighterUNet and "width" not in arguments:
        return f": network_def#group_size {arguments['group_size']}"
    return f': network_def "{_definition(kind, arguments)}"'


def without_pretraining(definition: Any) -> Any:
    """A ``network_def`` that builds where no encoder package is installed, for weights are loaded into it anyhow.

    Args:
        definition: of a bundle, a checkpoint or a model folder; networks within networks are seen to as well.

    Returns:
        A copy in which every ``encoder_weights`` of an :class:`EncoderUNet` is None; the rest is as it was.

    Example:
        >>> without_pretraining({"_target_": "monai_lesion.networks.EncoderUNet"})
        {'_target_': 'monai_lesion.networks.EncoderUNet', 'encoder_weights': None}
    """
    if isinstance(definition, Mapping):
        copy = {name: without_pretraining(value) for name, value in definition.items()}
        if str(copy.get("_target_", "")).rpartition(".")[2] == EncoderUNet.__name__:
            copy["encoder_weights"] = None
        return copy
    return [without_pretraining(value) for value in definition] if isinstance(definition, list) else definition


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
