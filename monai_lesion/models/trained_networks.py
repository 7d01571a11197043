"""The network and the input size that weights were trained with, for configs that would otherwise have to repeat them.

A config's own value counts where the file of the weights does not tell: one of before version 0.1, or a network that
is none of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.definitions import build_network, definition_of
from monai_lesion.networks.recognition import definition_of_state, without_pretraining
from monai_lesion.networks.weight_files import Weights, read_weights
from monai_lesion.pipeline.steps import Steps

logger = logging.getLogger(__name__)

# What the configs of the bundle name when nobody names anything.
NETWORK = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 128}
SIZE = Steps().input_size


def network_for(weights: str | Path, network: nn.Module) -> nn.Module:
    """The network of a config where the weights fit it or it was named; else the network that they were trained with.

    The weights themselves are not loaded. A network that was named and does not fit is given back as it is, for
    :func:`monai_lesion.networks.checkpoints.load_weights` to refuse it by both names.

    Args:
        weights: the file.
        network: of the config; the paper's Lighter U-net @128 is what it says by default, and gives way.

    Raises:
        CheckpointError: when the file is damaged.
        InputError: when it names a network that is none of ours.
    """
    if not Path(weights).is_file() or definition_of(network) != NETWORK:
        return network
    found = read_weights(weights)
    definition = definition_for(found)
    if definition is None or describe(found.state) == describe(network.state_dict()):
        return network
    logger.info("network: %s, as %s was trained", describe(found.state), weights)
    return build_network(definition)


def definition_for(weights: Weights) -> dict[str, Any] | None:
    """The ``network_def`` that the file tells, or that the shapes tell by themselves; None where neither does."""
    if weights.network_def is not None:
        return dict(without_pretraining(weights.network_def))
    return definition_of_state(weights.state)


def input_size_for(weights: str | Path, spatial_size: Sequence[int], *, named: bool | None = None) -> tuple[int, ...]:
    """The input size that weights were trained with; that of the config where the file does not tell it.

    Args:
        weights: the file; it may be missing, which whoever loads it tells.
        spatial_size: rows and columns, of the config.
        named: whether somebody asked for this size; None takes it as asked for unless it is 256 x 256, which the
            configs say by default.

    Raises:
        CheckpointError: when another size is asked for, or the file is damaged.
    """
    size = tuple(spatial_size)
    told = read_weights(weights).input_size if Path(weights).is_file() else None
    if told is None or told == size:
        return size
    if named or (named is None and size != SIZE):
        rule = f"was trained on pictures of {told[0]} x {told[1]} pixels"
        fix = f"Leave spatial_size out, or set it to [{told[0]},{told[1]}]"
        raise CheckpointError(weights, rule, got=f"spatial_size {' x '.join(map(str, size))}", fix=fix)
    logger.info("input size: %d x %d, as %s was trained", *told, weights)
    return told
