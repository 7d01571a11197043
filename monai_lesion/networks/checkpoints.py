"""Load weights into a network, or give one clear reason why that fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.definitions import definition_of
from monai_lesion.networks.recognition import describe, override
from monai_lesion.networks.trust_heads import TrustHeads
from monai_lesion.networks.weight_files import Weights, read_state, read_weights

__all__ = ["describe", "load_weights", "read_state", "start_from"]
logger = logging.getLogger(__name__)


def load_weights(network: nn.Module, path: str | Path, weights: Weights | None = None) -> nn.Module:
    """Load ``{"model": state_dict}`` into a network.

    Args:
        network: the network; changed in place.
        path: the file.
        weights: what was read of it, where it was; None reads it.

    Returns:
        The network.

    Raises:
        CheckpointError: when the file is missing, damaged, or belongs to another variant, or holds numbers that are
            not finite.
    """
    weights, own = weights or read_weights(path), network.state_dict()
    state = weights.state
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        found = f"weights of {describe(state)} ({len(wrong)} tensors differ, first {wrong[0]})"
        if any(".double_conv." in name for name in state):
            found, fix = "weights with the authors' names", "Load them with networks.published.load_published"
        else:
            known = override(state)
            fix = f"Set network_def to the network that was trained{': ' if known else ''}{known}"
        raise CheckpointError(path, f"must hold weights of {describe(own)}", got=found, fix=fix)
    strides = [_stride(definition) for definition in (definition_of(network), weights.network_def)]
    if None not in strides and strides[0] != strides[1]:  # the shapes are the same
        fix = f"Set network_def#stride to {strides[1]}"
        raise CheckpointError(path, f"must hold weights of stride {strides[0]}", got=strides[1], fix=fix)
    broken = [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        got = f"NaN or infinity in {len(broken)} of {len(state)} tensors, first {broken[0]}"
        raise CheckpointError(path, "must hold finite numbers", got=got, fix="Train it again, or take an earlier file")
    network.load_state_dict(state)
    return network


def _stride(definition: Mapping[str, Any] | None) -> Any:
    """The stride of an FCN, also of one within a network; None for other networks."""
    if definition is None:
        return None
    inner = definition.get("network")
    return _stride(inner) if isinstance(inner, Mapping) else definition.get("stride")


def start_from(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Load the weights that a training starts from; without any, leave the network as it is.

    :class:`~monai_lesion.networks.TrustHeads` may start from the weights of its network alone; the heads are then new.

    Args:
        network: the network; changed in place.
        path: see :func:`load_weights`; None loads nothing.

    Raises:
        CheckpointError: see :func:`load_weights`.
    """
    if path is None:
        return network
    if isinstance(network, TrustHeads) and read_state(path).keys() == network.network.state_dict().keys():
        logger.info("%s has no scores: the heads for presence and quality start untrained", path)
        load_weights(network.network, path)
        return network
    return load_weights(network, path)
