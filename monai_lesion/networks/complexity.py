"""Count parameters and arithmetic of the networks, with the results that the paper reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from monai.networks.utils import eval_mode
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from monai_lesion.errors import InputError
from monai_lesion.networks.cmunext import CMUNeXt
from monai_lesion.networks.deeplabv3plus import DeepLabV3Plus
from monai_lesion.networks.encoder_unet import EncoderUNet
from monai_lesion.networks.fcn import FCN
from monai_lesion.networks.unet import LighterUNet, LightUNet, UNet
from monai_lesion.networks.unext import UNeXt


class Result(NamedTuple):
    """Mean and standard deviation over the paper's three trainings."""

    mean: float
    std: float


@dataclass(frozen=True)
class Variant:
    """A network of the paper.

    Args:
        network: its class.
        options: the arguments that make the variant.
        dice: the paper's Dice coefficient on its test set.
        hd95: the paper's 95 % Hausdorff distance, in pixels.

    Source:
        Li et al., ISBI 2021.
    """

    network: Callable[..., nn.Module]
    options: Mapping[str, Any]
    dice: Result
    hd95: Result

    @property
    def network_def(self) -> dict[str, Any]:
        """The variant as a bundle's config writes it."""
        return {"_target_": f"monai_lesion.networks.{getattr(self.network, '__name__', '')}", **self.options}

    def build(self, **options: Any) -> nn.Module:
        """Build the network, with further arguments such as ``in_channels``."""
        return self.network(**{**self.options, **options})


def _variant(network: Callable[..., nn.Module], dice: Result, hd95: Result, **options: Any) -> Variant:
    return Variant(network, MappingProxyType(options), dice, hd95)


FAMILY: Mapping[str, Variant] = MappingProxyType(
    {
        "U-net": _variant(UNet, Result(0.929, 0.002), Result(13.92, 0.34)),
        "Light U-net": _variant(LightUNet, Result(0.927, 0.001), Result(14.16, 0.47)),
        "Lighter U-net @128": _variant(LighterUNet, Result(0.928, 0.001), Result(13.93, 0.50), group_size=128),
        "Lighter U-net @64": _variant(LighterUNet, Result(0.926, 0.001), Result(14.21, 0.24), group_size=64),
        "Lighter U-net @32": _variant(LighterUNet, Result(0.926, 0.001), Result(14.51, 0.09), group_size=32),
        "Lighter U-net @16": _variant(LighterUNet, Result(0.922, 0.003), Result(15.18, 0.43), group_size=16),
        "Lighter U-net @8": _variant(LighterUNet, Result(0.921, 0.002), Result(15.14, 0.43), group_size=8),
        "Lighter U-net @4": _variant(LighterUNet, Result(0.920, 0.003), Result(15.22, 0.58), group_size=4),
        "Lighter U-net @2": _variant(LighterUNet, Result(0.920, 0.001), Result(15.52, 0.19), group_size=2),
        "Lighter U-net @1": _variant(LighterUNet, Result(0.917, 0.001), Result(15.98, 0.23), group_size=1),
    }
)

BASELINES: Mapping[str, Variant] = MappingProxyType(
    {
        "FCN-32s": _variant(FCN, Result(0.909, 0.005), Result(15.89, 0.81), stride=32),
        "FCN-16s": _variant(FCN, Result(0.920, 0.003), Result(14.88, 0.42), stride=16),
        "FCN-8s": _variant(FCN, Result(0.924, 0.001), Result(14.37, 0.16), stride=8),
        "DeepLab v3+ MobileNetV2": _variant(
            DeepLabV3Plus, Result(0.904, 0.003), Result(16.88, 0.47), backbone="mobilenetv2"
        ),
        "DeepLab v3+ ResNet-101": _variant(
            DeepLabV3Plus, Result(0.922, 0.003), Result(14.32, 0.63), backbone="resnet101"
        ),
    }
)

NETWORKS: Mapping[str, Variant] = MappingProxyType({**FAMILY, **BASELINES})

# Not of the paper, hence without its results; what the options mean is in EncoderUNet.
OTHERS: Mapping[str, tuple[Callable[..., nn.Module], Mapping[str, Any]]] = MappingProxyType(
    {
        "EncoderUNet lite0, stride 16": (EncoderUNet, {"encoder": "efficientnet-lite0", "output_stride": 16}),
        "EncoderUNet lite0": (EncoderUNet, {"encoder": "efficientnet-lite0"}),
        "EncoderUNet lite1": (EncoderUNet, {"encoder": "efficientnet-lite1"}),
        "EncoderUNet lite2": (EncoderUNet, {"encoder": "efficientnet-lite2"}),
        "UNeXt": (UNeXt, {}),
        "CMUNeXt": (CMUNeXt, {}),
    }
)


class Complexity(NamedTuple):
    """A row of :func:`complexity_table`; ``flops`` are of one image of 256 x 256."""

    name: str
    network: str
    options: Mapping[str, Any]
    parameters: int
    flops: int
    dice: Result | None
    hd95: Result | None


def count_parameters(network: nn.Module) -> int:
    """Count parameters, the paper's measure of weight.

    Example:
        >>> count_parameters(LighterUNet(group_size=8))
        2318293
    """
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, input_shape: tuple[int, ...] = (1, 3, 256, 256)) -> int:
    """Count the floating-point operations of the convolutions in one forward pass; a multiply-add is two.

    Nothing is computed: the network runs on PyTorch's meta device, which knows only shapes. Its weights do not change.

    Args:
        network: any network that takes one tensor.
        input_shape: ``(B, C, H, W[, D])``.

    Raises:
        InputError: for an input that the network refuses.

    Example:
        >>> round(count_flops(LighterUNet(group_size=8)) / 1e9, 1)
        13.7
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    dtype = next((tensor.dtype for tensor in network.parameters()), torch.float32)
    # In training, batch normalisation would refuse one image pooled to 1 x 1.
    with eval_mode(network), FlopCounterMode(display=False) as counter:
        functional_call(network, shapes, (torch.empty(input_shape, dtype=dtype, device="meta"),))
    return int(counter.get_total_flops())


def complexity_table(*, width: float = 1.0) -> list[Complexity]:
    """List parameters and arithmetic of the paper's networks, in its order and with its results, then of the others.

    Args:
        width: multiplies the channels of the U-nets; any but the paper's 1 gives the ten U-nets without results.

    Raises:
        InputError: for a width that the networks refuse. A group size that does not divide the layers of that width
            is left out.
    """
    return list(_table(width))


@cache
def _table(width: float) -> tuple[Complexity, ...]:
    """Counted once in a process: seconds."""
    rows = []
    for name, variant in (NETWORKS if width == 1 else FAMILY).items():
        options = {**variant.options} if width == 1 else {**variant.options, "width": width}
        title = name if width == 1 else f"{name}, width {width:g}"
        results = (variant.dice, variant.hd95) if width == 1 else (None, None)
        try:
            rows.append(_row(title, variant.network, options, *results))
        except InputError as error:
            if not str(error).startswith("group_size"):
                raise
    for name, (kind, given) in OTHERS.items() if width == 1 else ():
        rows.append(_row(name, kind, {**given, "encoder_weights": None} if kind is EncoderUNet else given))
    return tuple(rows)


def _row(
    name: str,
    kind: Callable[..., nn.Module],
    options: Mapping[str, Any],
    dice: Result | None = None,
    hd95: Result | None = None,
) -> Complexity:
    with torch.device("meta"):
        network = kind(**options)
    return Complexity(
        name, type(network).__name__, options, count_parameters(network), count_flops(network), dice, hd95
    )


def format_complexity(rows: list[Complexity]) -> str:
    """Write Markdown tables for the command line and the documentation, one of them for the paper's networks."""
    paper, others = ([row for row in rows if (row.dice is None) == other] for other in (False, True))
    head, line = "| network | parameters | GFLOP at 256 x 256 |", "|---|---:|---:|"
    tables = []
    if paper:
        tables.append([f"{head} Dice (paper) | 95 % HD in px (paper) |", f"{line}---:|---:|", *map(_line, paper)])
    if others:
        tables.append([head, line, *map(_line, others)])
    return "\n\n".join("\n".join(table) for table in tables)


def _line(row: Complexity) -> str:
    digits = 1 if row.flops > 5e9 else 2
    cells = [row.name, f"{row.parameters:,}", f"{row.flops / 1e9:.{digits}f}"]
    if row.dice is not None and row.hd95 is not None:
        cells += [f"{row.dice.mean:.3f} ± {row.dice.std:.3f}", f"{row.hd95.mean:.2f} ± {row.hd95.std:.2f}"]
    return f"| {' | '.join(cells)} |"
