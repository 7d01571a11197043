"""Load the checkpoints that the paper's authors released, without running anything in the file."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.networks.inert_archives import read_archive
from monai_lesion.networks.inert_pickles import Record, StoredTensor
from monai_lesion.networks.recognition import identify

_WRAPPERS = ("state_dict", "model", "net")
_CONV_SET = re.compile(
    r"(?:(?P<first>inc)|down(?P<down>[1-4])\.maxpool_conv\.1|up(?P<up>[1-4])\.conv)\.double_conv"
    r"\.(?P<index>[0134])(?:\.conv\.(?P<part>[01]))?\.(?P<tensor>\w+)"
)
_LAYERS = {"0": "set1.conv", "1": "set1.norm", "3": "set2.conv", "4": "set2.norm"}
_PARTS = {None: "", "0": ".grouped", "1": ".pointwise"}
_ATTRIBUTES: dict[str, dict[str, Any]] = {  # what the published networks are; a twin that differs computes otherwise
    "BatchNorm2d": {"eps": 1e-5, "affine": True, "track_running_stats": True},
    "Conv2d": {"stride": (1, 1), "dilation": (1, 1), "padding_mode": "zeros"},
    "MaxPool2d": {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1},
    "Upsample": {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
}


def load_published(path: str | Path) -> nn.Module:
    """Load a released checkpoint of U-net, Light U-net or Lighter U-net.

    ::

        torch.save(model) or a state dict -- inert reading -- our names -- UNet, LightUNet or LighterUNet

    The released files are whole pickled modules, which Python would run to load them. Here they are only described
    (:mod:`~monai_lesion.networks.inert_pickles`): no class in the file is imported, whatever its name. The variant,
    ``C`` and the numbers of channels are inferred from the shapes.

    Args:
        path: a file of ``torch.save`` (zip or magic-number format) that holds the module, or a state dict with
            its names, alone or under ``"state_dict"``, ``"model"`` or ``"net"``; a ``"module."`` prefix
            (DataParallel) is removed.

    Returns:
        The network in evaluation mode, on the CPU, in float32. Its logits are what the authors' network feeds its
        sigmoid. ``network.channel_order`` is ``"bgr"``: the authors read images as BGR, so the weights expect that.

    Raises:
        CheckpointError: when the file is missing or damaged, names anything that such a network does not need, or
            belongs to another network.

    Source:
        Li et al., ISBI 2021; layout as in the authors' published code.
    """
    file = Path(path)
    root, tensor = read_archive(file)
    stored = {_our_name(name, file): value for name, value in _tensors(root, file).items()}
    shapes = {name: value.size for name, value in stored.items()}
    network = _network(shapes, file)
    state = {name: tensor(value) for name, value in stored.items()}
    counters = {name: torch.zeros((), dtype=torch.long) for name in network.state_dict() if name not in state}
    converted = {
        name: value.long() if name.endswith("num_batches_tracked") else value.float() for name, value in state.items()
    }
    network.load_state_dict(counters | converted, assign=True)
    network.channel_order = "bgr"  # type: ignore[assignment]
    return network.eval()


def _network(shapes: Mapping[str, tuple[int, ...]], file: Path) -> nn.Module:
    """Make the network whose tensors have these shapes, without memory for them yet."""
    rule = "must hold the weights of a whole U-net, Light U-net or Lighter U-net of the authors"
    found = identify(shapes)
    if found is None:
        raise CheckpointError(file, rule, got=f"{len(shapes)} tensors of another network")
    kind, options = found
    try:
        with torch.device("meta"):
            network = kind(**options)
    except (InputError, RuntimeError) as error:
        raise CheckpointError(file, rule, got=f"shapes of no such network ({error})") from error
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # PyTorch before 0.4.1 did not count batches.
    absent = [name for name in own if name not in shapes and not name.endswith("num_batches_tracked")]
    wrong = [name for name in shapes if shapes[name] != own.get(name)]
    if absent or wrong:
        name = (absent + wrong)[0]
        got = f"{len(absent)} tensors too few and {len(wrong)} of another shape, first {name} {shapes.get(name, '')}"
        raise CheckpointError(file, rule, got=got.rstrip())
    return network


def _our_name(name: str, file: Path) -> str:
    """Translate the name of one of the authors' tensors into ours."""
    plain = name.removeprefix("module.")
    if plain in ("outc.conv.weight", "outc.conv.bias"):
        return plain.replace("outc.conv", "head")
    match = _CONV_SET.fullmatch(plain)
    if match is None or (match["part"] and match["index"] in "14"):
        rule = "must hold tensors named as in the authors' networks (inc, down1 to 4, up1 to 4, outc)"
        raise CheckpointError(file, rule, got=name)
    if match["first"]:
        stage = "encoder.0"
    elif match["down"]:
        stage = f"encoder.{match['down']}.stage"
    else:
        stage = f"decoder.{int(match['up']) - 1}.stage"
    return f"{stage}.{_LAYERS[match['index']]}{_PARTS[match['part']]}.{match['tensor']}"


def _tensors(root: Any, file: Path) -> dict[str, StoredTensor]:
    """Find the state dict in what was saved."""
    for key in _WRAPPERS:
        if isinstance(root, dict) and isinstance(root.get(key), (dict, Record)):
            root = root[key]
    if isinstance(root, Record):
        return _module_tensors(root, file)
    if not isinstance(root, dict) or not root:
        raise CheckpointError(file, "must hold a module or a state dict", got=type(root).__name__)
    for name, value in root.items():
        if not (isinstance(name, str) and isinstance(value, StoredTensor)):
            raise CheckpointError(file, "a state dict must hold tensors only", got=f"{name}: {type(value).__name__}")
    return root


def _module_tensors(root: Record, file: Path) -> dict[str, StoredTensor]:
    """Collect the tensors of a module and its children, by their full names."""
    tensors: dict[str, StoredTensor] = {}
    queue, seen = [("", root)], {root}
    while queue:
        prefix, module = queue.pop()
        _check_layer(module, prefix, file)
        for name, value in [*_part(module, "_parameters"), *_part(module, "_buffers")]:
            if isinstance(value, StoredTensor):
                tensors[f"{prefix}{name}"] = value
            elif value is not None:
                raise CheckpointError(file, f"{prefix}{name} must be a tensor", got=type(value).__name__)
        for name, child in _part(module, "_modules"):
            if not isinstance(child, Record) or child in seen:  # also ends cycles
                raise CheckpointError(file, f"{prefix}{name} must be a module of its own", got=type(child).__name__)
            seen.add(child)
            queue.append((f"{prefix}{name}.", child))
    return tensors


def _part(module: Record, name: str) -> Iterable[tuple[Any, Any]]:
    part = module.state.get(name)
    return part.items() if isinstance(part, dict) else ()


def _check_layer(module: Record, prefix: str, file: Path) -> None:
    """Refuse a layer that computes something other than the authors' layer of the same name."""
    expected = dict(_ATTRIBUTES.get(module.kind.name, {}) if module.kind.is_layer else {})
    if module.kind.is_layer and module.kind.name == "Conv2d":
        expected["padding"] = (1, 1) if module.state.get("kernel_size") == (3, 3) else (0, 0)
    for name, value in expected.items():
        got = module.state.get(name, value)  # older PyTorch had fewer attributes
        if got != value:
            rule = f"{name} of {prefix}{module.kind.name} must be {value}, as in the authors' networks"
            raise CheckpointError(file, rule, got=reprlib.repr(got))
