"""A network from its ``network_def``: a class of ours and literal arguments, nothing that could run other code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

import monai_lesion.networks as known
from monai_lesion.errors import InputError
from monai_lesion.networks.checkpoints import identify

ROOM = known.__name__
LITERALS = (bool, int, float, str, type(None))


def build_network(definition: Mapping[str, Any]) -> nn.Module:
    """Build a network, untrained.

    Args:
        definition: as a bundle's ``network_def``: ``_target_``, a class that ``monai_lesion.networks`` shows, by that
            name or by that of its own module, as older files have it; and its arguments, each a literal, a list of
            literals, or such a definition again.

    Raises:
        InputError: for another class, an expression, or arguments that the class refuses.

    Example:
        >>> type(build_network({"_target_": "monai_lesion.networks.LightUNet", "width": 0.125})).__name__
        'LightUNet'
    """
    target = definition.get("_target_")
    room, _, name = str(target).rpartition(".")
    if name not in known.__all__ or not (room == ROOM or room.startswith(f"{ROOM}.")):
        choices = ", ".join(each for each in known.__all__ if isinstance(getattr(known, each), type))
        raise InputError("network_def", f"_target_ must be of {ROOM}: {choices}", got=target)
    arguments = {key: _argument(key, value) for key, value in definition.items() if key != "_target_"}
    try:
        network = getattr(known, name)(**arguments)
    except TypeError as error:
        raise InputError("network_def", f"must have arguments of {name}", got=error) from error
    if not isinstance(network, nn.Module):
        raise InputError("network_def", "_target_ must be a network", got=target)
    return network


def definition_of(network: nn.Module) -> dict[str, Any] | None:
    """The ``network_def`` of one of the paper's networks, told by its tensors; None for any other.

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
    return {"_target_": f"{ROOM}.{found[0].__name__}", **arguments}


def _argument(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return build_network(value)
    if isinstance(value, (list, tuple)):
        return [_argument(name, each) for each in value]
    if not isinstance(value, LITERALS) or (isinstance(value, str) and value[:1] in ("$", "@", "%")):
        raise InputError("network_def", f"{name} must be a literal value", got=repr(value))
    return value
