"""Find the network and the input size that weights were trained with, so that configs need not repeat them.

The value in the config counts when the file of the weights does not give one: when it was written before version 0.1,
or the network is not one of this package.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.definitions import build_for, definition_of
from monai_lesion.networks.recognition import without_pretraining
from monai_lesion.networks.weight_files import read_weights
from monai_lesion.pipeline.steps import Steps

logger = logging.getLogger(__name__)

# The defaults in the configs of the bundle.
NETWORK = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 128}
SIZE = Steps().input_size


def network_for(weights: str | Path, network: nn.Module) -> nn.Module:
    """Choose the network of a config if you named it or the weights fit it, otherwise the one they were trained with.

    The weights themselves are not loaded. A network that you named and that does not fit is returned unchanged, for
    :func:`monai_lesion.networks.checkpoints.load_weights` to refuse it by both names.

    Args:
        weights: the file.
        network: network of the config; the default, the paper's Lighter U-net @128, counts as not named.

    Raises:
        CheckpointError: when the file is damaged.
        InputError: when it names a network from outside this package.
    """
    if not Path(weights).is_file() or definition_of(network) != NETWORK:
        return network
    found = read_weights(weights)
    if found.network_def is None or describe(found.state) == describe(network.state_dict()):
        return network
    logger.info("network: %s, as %s was trained", describe(found.state), weights)
    return build_for(found.network_def, found.state, weights)


def network_def_of(weights: str | Path) -> dict[str, Any] | None:
    """Read the ``network_def`` that weights were trained with; None where their file does not tell it.

    It is checked to be one of our networks with plain arguments, for MONAI would run whatever else a config takes over.

    Raises:
        CheckpointError: when the file is missing or damaged.
        InputError: when it names anything else.
    """
    found = read_weights(weights)
    if found.network_def is None:
        return None
    build_for(found.network_def, found.state, weights)
    return dict(without_pretraining(found.network_def))


def input_size_for(weights: str | Path, spatial_size: Sequence[int], *, named: bool | None = None) -> tuple[int, ...]:
    """Find the input size that weights were trained with; that of the config if the file does not give one.

    Args:
        weights: the file; a missing one is reported when it is loaded.
        spatial_size: rows and columns in the config.
        named: whether you asked for this size; None means yes unless it is 256 x 256, the default of the configs.

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
