"""Recognise a network by the shapes of its weights, and write it as a bundle would."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import log2
from typing import Any

import torch
from torch import nn

from monai_lesion.networks.cmunext import CMUNeXt
from monai_lesion.networks.deeplabv3plus import DeepLabV3Plus
from monai_lesion.networks.efficientnet_lite import ENCODERS, OUTPUT_STRIDES, EfficientNetLite
from monai_lesion.networks.encoder_unet import DECODER_CHANNELS, EncoderUNet
from monai_lesion.networks.ensembles import Ensemble
from monai_lesion.networks.fcn import FCN
from monai_lesion.networks.trust_heads import TrustHeads
from monai_lesion.networks.unet import ENCODER_CHANNELS, LighterUNet, LightUNet, UNet
from monai_lesion.networks.unext import UNeXt

_DEFAULTS = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, "hidden": 64}
_PACKAGE = "monai_lesion.networks"


def identify(shapes: Mapping[str, tuple[int, ...]]) -> tuple[type[nn.Module], dict[str, Any]] | None:
    """Recognise the network that has tensors of these shapes.

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
    if "networks.0" in {name[:10] for name in shapes}:
        members = [_identify_member(shapes, f"networks.{number}.") for number in range(_members(shapes))]
        known = [_definition(*each) for each in members if each is not None]
        return (Ensemble, {"networks": known}) if len(known) == len(members) else None
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
        "stem.conv.weight",
    )
    start = next((name for name in starts if name in shapes), "")
    first, head = shapes.get(start, ()), shapes.get("head.weight", ())
    if len(head) not in (4, 5) or len(first) != len(head):
        return None
    arguments: dict[str, Any] = {"spatial_dims": len(head) - 2, "in_channels": first[1], "out_channels": head[0]}
    if start == starts[2]:
        return (UNeXt if "encoder.3.mlp.first.weight" in shapes else FCN), arguments
    if start == starts[3]:
        return DeepLabV3Plus, arguments | {"backbone": "resnet101" if first[0] == 64 else "mobilenetv2"}
    if start == starts[4]:
        return _identify_encoder_unet(shapes, arguments)
    if start == starts[5]:
        return CMUNeXt, arguments
    width = shapes.get("encoder.0.set1.norm.weight", ENCODER_CHANNELS)[0] / ENCODER_CHANNELS[0]
    if width != 1:
        arguments["width"] = width
    if plain.format(1) in shapes:
        return (UNet if plain.format(2) in shapes else LightUNet), arguments
    # The first layer follows another rule, and layers narrower than C have one group: the widest group is C.
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
    # Layers narrower than a group form one group: the widest is the group size.
    sizes = [shape[1] for name, shape in shapes.items() if name.endswith("conv.grouped.weight")]
    if sizes != [1] * len(sizes) or not sizes:
        arguments["group_size"] = max(sizes, default=None)
    return EncoderUNet, arguments


def _members(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return len({name.split(".")[1] for name in shapes if name.startswith("networks.")})


def _identify_member(
    shapes: Mapping[str, tuple[int, ...]], prefix: str
) -> tuple[type[nn.Module], dict[str, Any]] | None:
    return identify({name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)})


def _definition(kind: type[nn.Module], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Write a network as the ``network_def`` of a bundle, leaving out defaults."""
    told = {name: value for name, value in arguments.items() if _DEFAULTS.get(name) != value or name not in _DEFAULTS}
    return {"_target_": f"{_PACKAGE}.{kind.__name__}", **told}


def _written(definition: Mapping[str, Any]) -> str:
    """Write a ``network_def`` as you would in Python."""
    kind = definition["_target_"].rpartition(".")[2]
    told = [
        f"{name}={_argument(value)}"
        for name, value in definition.items()
        if name not in ("_target_", "encoder_weights")
    ]
    return f"{kind}({', '.join(told)})"


def _argument(value: Any) -> str:
    if isinstance(value, Mapping):
        return _written(value)
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        told = [_written(each) for each in value]
        alike = len(told) > 1 and len(set(told)) == 1
        return f"[{told[0]}] * {len(told)}" if alike else f"[{', '.join(told)}]"
    return repr(value)


def describe(state: Mapping[str, torch.Tensor]) -> str:
    """Describe the network of a state dict, as you would write it in Python.

    Example:
        >>> describe(LighterUNet(group_size=8).state_dict())
        'LighterUNet(group_size=8)'
        >>> describe(TrustHeads(LighterUNet(group_size=8)).state_dict())
        'TrustHeads(network=LighterUNet(group_size=8))'
    """
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    return "another network" if found is None else _written(_definition(*found))


def override(state: Mapping[str, torch.Tensor]) -> str:
    """Write the option that makes a bundle build the network of a state dict; empty for an unknown network."""
    found = identify({name: tuple(tensor.shape) for name, tensor in state.items()})
    if found is None:
        return ""
    kind, arguments = found
    if kind is LighterUNet and "width" not in arguments:
        return f"network_def#group_size {arguments['group_size']}"
    return f'network_def "{_definition(kind, arguments)}"'


def without_pretraining(definition: Any) -> Any:
    """Change a ``network_def`` so that it builds without ImageNet weights, for when other weights follow.

    Args:
        definition: the ``network_def`` of a bundle, a checkpoint or a model folder; networks may be nested.

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
