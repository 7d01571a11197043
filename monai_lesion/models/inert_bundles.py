"""The network of a bundle, opened without running anything that the bundle brings.

A bundle is code: MONAI runs each text of its configs that begins with ``$``, and makes whatever a ``_target_`` names.
Here a config is text. Of ``configs/inference.json`` only this is read: a ``network_def`` of one of our networks and
the steps of :mod:`monai_lesion.pipeline.transforms`, both with plain values. Whatever else would decide a mask is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion import networks
from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.files import read_object
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.models.descriptions import WEIGHTS
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import EXPRESSIONS, ROOM, TARGET, build_network
from monai_lesion.networks.recognition import without_pretraining
from monai_lesion.networks.weight_files import Weights, read_weights
from monai_lesion.pipeline.steps import Steps

CLASSES = tuple(
    f"{ROOM}.{name}" for name in networks.__all__ if isinstance(getattr(networks, name), type)
)  # the closed list
KEPT = ("threshold", "keep", "order")  # what a config may say of the steps after the network
FIX = "If you trust whoever made it, leave --no-code out"


def read_inert(bundle: str | Path, *, weights: str | Path | None = None) -> tuple[nn.Module, dict[str, Any], Steps]:
    """Read network, definition and steps of a bundle, or of a folder with the ``model.pt`` of a training.

    Args:
        bundle: the folder.
        weights: file of the weights; None takes ``models/model.pt`` or ``model.pt``.

    Returns:
        The network with its weights, in evaluation mode; its ``network_def``; the steps around it.

    Raises:
        InputError: when the bundle says more than can be read without running it, or another kind of thing.
        CheckpointError: when the weights are missing, damaged, or another network's.
    """
    root = Path(bundle)
    config = root / "configs" / "inference.json"
    inside = root / "models" / WEIGHTS if config.is_file() or not (root / WEIGHTS).is_file() else root / WEIGHTS
    file = Path(weights or inside)
    content = read_object(config) if config.is_file() else read_object(bundle_folder() / "configs" / "inference.json")
    found = read_weights(file)
    definition = found.network_def if found.network_def is not None else content.get("network_def")
    network = _network(definition, found, config if found.network_def is None else file)
    steps = _steps(content, found, config)
    return load_weights(network, file, found).eval(), dict(without_pretraining(definition)), steps


def _network(definition: Any, found: Weights, where: Path) -> nn.Module:
    """Build one of our networks, once its shapes, which take no memory, are seen to be those of the weights."""
    _check_classes(definition, where)
    definition = without_pretraining(definition)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in build_network(definition).state_dict().items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in found.state.items()}:
        raise CheckpointError(where, "network_def must be that of the weights", got="another")
    return build_network(definition)


def _check_classes(definition: Any, where: Path) -> None:
    target = definition.get(TARGET) if isinstance(definition, Mapping) else None
    if target not in CLASSES:
        got = target if isinstance(target, str) else "none"
        raise InputError(where, f"network_def must be one of {', '.join(CLASSES)}", got=got, fix=FIX)
    for value in definition.values():
        if isinstance(value, Mapping):
            _check_classes(value, where)


def _steps(content: Mapping[str, Any], found: Weights, config: Path) -> Steps:
    parts = {}
    for name in ("preprocessing", "postprocessing"):
        part = content.get(name)
        if not isinstance(part, Mapping) or part.get(TARGET) != f"monai_lesion.pipeline.transforms.{name}":
            rule = f"{name} must be monai_lesion.pipeline.transforms.{name}"
            raise InputError(config, rule, got="other transforms, which are code", fix=FIX)
        parts[name] = part
    size: Any = found.input_size
    if size is None:
        size = parts["preprocessing"].get("spatial_size", content.get("spatial_size", Steps().input_size))
        size = _plain(content, size["spatial_size"] if isinstance(size, Mapping) and "spatial_size" in size else size)
    unknown = set(parts["preprocessing"]) - {TARGET, "keys", "spatial_size"}
    unknown |= set(parts["postprocessing"]) - {
        TARGET, "preprocessing", "source", "target", "upright", "drop_channel", *KEPT
    }  # fmt: skip
    if unknown:
        raise InputError(config, "the steps must have known arguments", got=", ".join(sorted(unknown)), fix=FIX)
    given = {name: _plain(content, parts["postprocessing"][name]) for name in KEPT if name in parts["postprocessing"]}
    try:
        return Steps(input_size=tuple(size) if isinstance(size, list) else size, **given)
    except InputError as error:
        raise InputError(f"{config}, {error}") from error


def _plain(content: Mapping[str, Any], value: Any) -> Any:
    """A plain value, or the plain value at the top of the config that ``@name`` means."""
    if isinstance(value, str) and value.startswith("@") and value[1:] in content:
        value = content[value[1:]]
    return "an expression" if isinstance(value, str) and value.startswith(EXPRESSIONS) else value
