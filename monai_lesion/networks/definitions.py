"""Build a network from its ``network_def``, as bundles describe it, without MONAI's config parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from monai_lesion.errors import InputError
from monai_lesion.networks.ensembles import Ensemble
from monai_lesion.networks.recognition import identify, without_pretraining
from monai_lesion.networks.trust_heads import TrustHeads

TARGET = "_target_"
ROOM = "monai_lesion.networks"
EXPRESSIONS = ("$", "@", "%")  # by which a config of MONAI means code, another value or another file


def build_network(network_def: Mapping[str, Any], *, any_class: bool = False) -> nn.Module:
    """Build the network that a ``network_def`` describes: a class and its arguments, which are plain values.

    An argument may itself be a ``network_def``, for a network around another.

    Args:
        network_def: ``{"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8}``.
        any_class: also import a class from elsewhere, for a definition that the user wrote, such as a study's. One that
            came with weights must not decide what is imported.

    Raises:
        InputError: when it is not such a description, names another class, or the class refuses its arguments.

    Example:
        >>> type(build_network({"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8})).__name__
        'LighterUNet'
        >>> build_network({"_target_": "os.system", "command": "ls"})
        Traceback (most recent call last):
        monai_lesion.errors.InputError: network_def: _target_ must be a class of monai_lesion.networks, got os.system...
    """
    return _build(network_def, "network_def", any_class)


def build_for(network_def: Mapping[str, Any], state: Mapping[str, torch.Tensor], where: object) -> nn.Module:
    """Build the network that came with weights, in random ones, if it has no more numbers than these.

    They are counted before they take memory, for a few digits in a file can ask for all there is. ImageNet weights are
    left out, see :func:`~monai_lesion.networks.recognition.without_pretraining`.

    Args:
        network_def: see :func:`build_network`.
        state: the weights.
        where: the file that the definition stands in, for the message.

    Raises:
        InputError: as :func:`build_network` does, and for a larger network than that of the weights.
    """
    definition = without_pretraining(network_def)
    most, rule = sum(tensor.numel() for tensor in state.values()), "network_def must be the network of the weights"
    if repr(definition).count(repr(TARGET)) > len(state):
        raise InputError(where, rule, got="more networks than they have tensors")
    with torch.device("meta"):
        numbers = sum(tensor.numel() for tensor in build_network(definition).state_dict().values())
    if numbers > most:
        raise InputError(where, rule, got=f"{numbers} numbers for {most}")
    return build_network(definition)


def definition_of(network: nn.Module, *, dropout: bool = False) -> dict[str, Any] | None:
    """The ``network_def`` of one of our networks, told by its tensors; None for any other.

    Args:
        network: in any precision and on any device; merged sets are told as they were before.
        dropout: tell that too; it matters only where the network is trained on.

    Example:
        >>> from monai_lesion.networks import LighterUNet
        >>> definition_of(LighterUNet(group_size=8))
        {'_target_': 'monai_lesion.networks.LighterUNet', 'group_size': 8}
    """
    found = identify({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    if found is None or type(network) is not found[0]:
        return None
    defaults = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1}
    arguments = {name: value for name, value in found[1].items() if defaults.get(name) != value}
    if (stride := getattr(network, "stride", None)) is not None:  # of an FCN: not in its shapes
        arguments["stride"] = stride
    if isinstance(network, TrustHeads):
        arguments["network"] = definition_of(network.network, dropout=dropout)
        if arguments["network"] is None:
            return None
    if isinstance(network, Ensemble):
        arguments["networks"] = [definition_of(each, dropout=dropout) for each in network.networks]
        return None if None in arguments["networks"] else {TARGET: f"{ROOM}.Ensemble", **arguments}
    if dropout:
        arguments["dropout"] = _dropout(network)
    return {"_target_": f"{ROOM}.{found[0].__name__}", **arguments}


def _dropout(network: nn.Module) -> float:
    """The share that a network drops; without a network within it."""
    inner = network.network if isinstance(network, TrustHeads) else None
    skipped = set() if inner is None else set(inner.modules())
    layers = (layer for layer in network.modules() if isinstance(layer, _DropoutNd) and layer not in skipped)
    return next((float(layer.p) for layer in layers), 0.0)


def _build(definition: Any, where: str, any_class: bool) -> nn.Module:
    if not isinstance(definition, Mapping) or not isinstance(definition.get(TARGET), str):
        raise InputError(where, f'must be an object with "{TARGET}", the class of a network', got=definition)
    target = definition[TARGET]
    kind = _class(target, where, any_class)
    arguments = {}
    for name, value in definition.items():
        if name == TARGET or name == "_desc_":
            continue
        if name.startswith("_"):
            raise InputError(where, f"may have {TARGET} and the arguments of the class", got=repr(name))
        arguments[name] = _argument(value, f"{where}#{name}", any_class)
    try:
        network = kind(**arguments)
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError) as error:
        got = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(where, f"must have arguments that {target} takes", got=got) from error
    if not isinstance(network, nn.Module):
        raise InputError(where, "must be a network, an nn.Module", got=f"{target}, {type(network).__name__}")
    return network


def _class(target: str, where: str, any_class: bool) -> Callable[..., Any]:
    module, _, name = target.rpartition(".")
    rule, fix = f"{TARGET} must be a class of {ROOM}", "Such as monai_lesion.networks.LighterUNet"
    if not any_class and module != ROOM and not module.startswith(f"{ROOM}."):
        raise InputError(where, rule, got=target, fix=fix)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(where, f"{TARGET} must be a class that can be imported", got=f"{target} ({error})") from error
    ours = isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith(f"{ROOM}.")
    if not (ours or (any_class and callable(found))):
        raise InputError(where, rule, got=target, fix=fix)
    return found  # type: ignore[no-any-return]


def _argument(value: Any, where: str, any_class: bool) -> Any:
    """Read a plain value, or build the network of a nested definition."""
    if isinstance(value, Mapping):
        if TARGET in value:
            return _build(value, where, any_class)
        return {key: _argument(each, f"{where}#{key}", any_class) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_argument(each, f"{where}#{number}", any_class) for number, each in enumerate(value)]
    if isinstance(value, str) and value.startswith(EXPRESSIONS):
        raise InputError(where, "must be a plain value, not an expression", got=repr(value))
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise InputError(where, "must be a plain value: text, number, true, false, null or a list", got=type(value))
    return value
