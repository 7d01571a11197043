"""The network of a MONAI bundle and the steps around it, read from its config with PyTorch and MONAI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import Compose
from torch import nn

from monai_lesion.errors import InputError, root_cause
from monai_lesion.files import read_object
from monai_lesion.models.descriptions import WEIGHTS
from monai_lesion.models.trained_networks import input_size_for, network_def_of
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import build_network
from monai_lesion.pipeline.steps import Steps

ROOM = "monai_lesion.pipeline.transforms"
# What a bundle's config may contain for its steps to be ours; the class ends upright whatever the last steps do.
BEFORE = {"_target_": f"{ROOM}.preprocessing", "keys": ["image"]}
AFTER = {"_target_": f"{ROOM}.postprocessing", "preprocessing": "@preprocessing", "source": "pred", "target": "pred"}
ENDS = ("upright", "drop_channel")


@dataclass(frozen=True)
class BundleNetwork:
    """What a bundle segments with.

    Attributes:
        network: with its weights, in evaluation mode.
        network_def: class and arguments, where they are of :mod:`monai_lesion.networks` and literals.
        steps: around the network; None where the bundle has transforms of its own.
        preprocess: its transforms before the network.
        postprocess: its transforms after the network.
        name: name of the bundle's folder.
        version: version of the bundle; empty where it has none.
    """

    network: nn.Module
    network_def: dict[str, Any] | None
    steps: Steps | None
    preprocess: Compose
    postprocess: Compose
    name: str
    version: str


def read_bundle(
    bundle: str | Path,
    *,
    weights: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    as_trained: bool = True,
) -> BundleNetwork:
    """Read ``configs/inference.json`` and the weights of a bundle. A bundle is code: its expressions are run.

    Args:
        bundle: its folder.
        weights: file of the weights; None takes ``models/model.pt``.
        overrides: config values, such as ``{"network_def#group_size": 16}``; they must not contradict the weights.
        as_trained: take network and input size from the weights, where these tell them; else the config must agree.

    Raises:
        InputError: when the folder is not a bundle, or an override is unknown to it or to the network.
        CheckpointError: when the weights are missing, another network's, or of another input size.
    """
    root = Path(bundle)
    config = root / "configs" / "inference.json"
    if not config.is_file():
        raise InputError(root, "must be a bundle with configs/inference.json", got="no such file")
    parser = ConfigParser(read_object(config))
    parser["bundle_root"], parser["device"] = str(root), "cpu"
    file = Path(weights or root / "models" / WEIGHTS)
    if "weights" in parser.config:
        parser["weights"] = str(file)
    if as_trained:
        _take_network(parser, file)
    for key, value in (overrides or {}).items():
        if key.replace("::", "#").split("#")[0] not in parser.config:
            known = ", ".join(name for name in parser.config if not name.startswith("_"))
            raise InputError(key, f"must be a key of {config}: {known}", got=f"{key}={value}")
        try:
            parser[key] = value
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(key, f"must be a key of {config}", got=value) from error
    _take_size(parser, file, named=not as_trained or "spatial_size" in (overrides or {}))
    try:
        definition = _literal(parser)
        network, *around = map(parser.get_parsed_content, ("network_def", "preprocessing", "postprocessing"))
        steps = _steps(parser)
    except Exception as error:  # MONAI wraps whatever a component raises
        raise InputError(config, "must describe network and transforms", got=root_cause(error)) from error
    load_weights(network, file)
    if steps is not None:
        input_size_for(file, steps.input_size, named=True)
    name = root.resolve().name
    return BundleNetwork(network.eval(), definition, steps, around[0], around[1], name, _version(root))


def _take_network(parser: ConfigParser, file: Path) -> None:
    """Set the network that the weights tell, below the overrides: what contradicts it then fails at the weights."""
    definition = network_def_of(file) if file.is_file() else None
    if definition is not None:
        parser["network_def"] = definition


def _take_size(parser: ConfigParser, file: Path, *, named: bool) -> None:
    size = parser.config.get("spatial_size")
    if isinstance(size, (list, tuple)) and all(isinstance(side, int) for side in size):
        parser["spatial_size"] = list(input_size_for(file, size, named=named))


def _literal(parser: ConfigParser) -> dict[str, Any] | None:
    """The ``network_def`` where it can be built again from the text alone."""
    definition = parser["network_def"]
    try:
        build_network(definition)
    except (InputError, AttributeError, TypeError):
        return None
    return dict(definition)


def _steps(parser: ConfigParser) -> Steps | None:
    """The steps that the config describes by our functions and known arguments; None for any others."""
    before, after = dict(parser["preprocessing"]), dict(parser["postprocessing"])
    plain = {key: value for key, value in before.items() if key != "spatial_size"}
    given = {"input_size": _value(parser, "preprocessing#spatial_size")} if "spatial_size" in before else {}
    for name in ("threshold", "keep", "order"):
        if name in after:
            given[name] = _value(parser, f"postprocessing#{name}")
            del after[name]
    rest = {key: value for key, value in after.items() if key not in ENDS}
    ours = plain.items() <= BEFORE.items() and rest.items() <= AFTER.items()
    if not ours or before.get("_target_") is None or "preprocessing" not in after:
        return None
    return Steps(**given)


def _value(parser: ConfigParser, key: str) -> Any:
    value = parser.get_parsed_content(key)
    return tuple(value) if isinstance(value, list) else value


def _version(root: Path) -> str:
    file = root / "configs" / "metadata.json"
    return str(read_object(file).get("version", "")) if file.is_file() else ""
