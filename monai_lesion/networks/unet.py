"""The U-nets of the paper: one layout with three kinds of conv set."""

from __future__ import annotations

import math

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.blocks import Down, Stage, Up
from monai_lesion.networks.contracts import SegmentationNetwork

ENCODER_CHANNELS = (64, 128, 256, 512, 512)
DECODER_CHANNELS = (256, 128, 64, 64)


def scaled_channels(width: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Compute the channels of the encoder and decoder stages, all multiplied by ``width``.

    Args:
        width: a multiple of 1/16: the first stage has 4, 8, 12 ... channels and the others exact multiples of that, so
            that a group size divides all layers or none.

    Raises:
        InputError: for any other width.

    Example:
        >>> scaled_channels(0.25)
        ((16, 32, 64, 128, 128), (64, 32, 16, 16))
    """
    number = isinstance(width, (int, float)) and not isinstance(width, bool)
    if not (number and 0 < width <= 16 and float(16 * width).is_integer()):
        nearest = min(max(round(16 * width), 1), 256) / 16 if number and math.isfinite(width) else 1.0
        raise InputError("width", "must be a multiple of 1/16, up to 16", got=repr(width), fix=f"Use {nearest:g}")

    def scaled(channels: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(width * count) for count in channels)

    return scaled(ENCODER_CHANNELS), scaled(DECODER_CHANNELS)


class UNet(SegmentationNetwork):
    r"""U-net as the paper draws it: both conv sets of every stage are regular 3 x 3 convolutions.

    ::

        image -- 64 --------------------------------- 64 -- 1 x 1 -- logits
                  \-- 128 ---------------------- 64 --/
                        \-- 256 ---------- 128 --/
                              \-- 512 -- 256 --/
                                \-- 512 --/  (dropout)

    Args:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        width: multiplies the channels of every stage, in steps of 1/16; the paper's is 1.
        dropout: probability of dropping a value after the last encoder stage.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``, every side at least 16
        - output: logits ``(B, out_channels, H, W[, D])``; the sigmoid belongs to loss and postprocessing

        In training, one image needs a side of at least 32: batch normalisation cannot normalise a single value.

    Raises:
        InputError: for arguments out of range.

    Source:
        Li et al., ISBI 2021, section 3 and table 2 (17,267,393 parameters).

    Example:
        >>> UNet()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        encoder_channels, decoder_channels = scaled_channels(width)
        self.width = width

        def stage(inputs: int, mid: int, out: int, *, first: bool = False) -> Stage:
            return Stage(spatial_dims, inputs, mid, out, group_sizes=self._group_sizes(inputs, first))

        channels, *rest = encoder_channels
        encoder: list[nn.Module] = [stage(in_channels, channels, channels, first=True)]
        for out in rest:
            encoder.append(Down(spatial_dims, stage(channels, out, out)))
            channels = out
        self.encoder = nn.ModuleList(encoder)
        self.dropout = nn.Dropout(dropout)
        decoder: list[nn.Module] = []
        for skip, out in zip(reversed(encoder_channels[:-1]), decoder_channels, strict=True):
            inputs = skip + channels
            decoder.append(Up(spatial_dims, stage(inputs, inputs // 2, out)))
            channels = out
        self.decoder = nn.ModuleList(decoder)
        self.head = Conv[Conv.CONV, spatial_dims](channels, out_channels, 1)
        self.deep_channels = encoder_channels[-1]

    def _group_sizes(self, in_channels: int, first: bool) -> tuple[int | None, int | None]:
        """Choose the group sizes of a stage's two conv sets for ``in_channels``; None is a regular convolution."""
        return None, None

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the output of each encoder stage, 1/1 to 1/16 of the resolution."""
        features: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return features

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W[, D])`` from the features."""
        x = self.dropout(features[-1])
        for i, up in enumerate(self.decoder):
            x = up(x, features[-2 - i])
        return self.head(x)  # type: ignore[no-any-return]


class LightUNet(UNet):
    """Light U-net: the second conv set of every stage is depthwise separable.

    Arguments, shapes and errors are those of :class:`UNet`.

    Source:
        Li et al., ISBI 2021, section 3.1 and table 2 (11,000,257 parameters).
    """

    def _group_sizes(self, in_channels: int, first: bool) -> tuple[int | None, int | None]:
        return None, 1


class LighterUNet(UNet):
    """Lighter U-net @C: both conv sets of every stage are grouped 3 x 3, then pointwise 1 x 1.

    Args:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        group_size: channels per group, the paper's ``C``; must divide the channel counts of the layers that are wider
            than it: 64, 128 ... 1024 with ``width=1``. The first layer always takes all its input channels as one
            group, except with ``group_size=1``.
        width: multiplies the channels of every stage, in steps of 1/16; the paper's is 1.
        dropout: probability of dropping a value after the last encoder stage.

    Shape:
        As :class:`UNet`.

    Raises:
        InputError: for arguments out of range.

    Source:
        Li et al., ISBI 2021, section 3.2 and table 2 (7,944,661 parameters at C = 128, 1,983,583 at C = 1).

    Example:
        >>> sum(p.numel() for p in LighterUNet(group_size=1).parameters())
        1983583
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        group_size: int = 128,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        if not isinstance(group_size, int):
            raise InputError("group_size", "must be a positive integer", got=repr(group_size))
        self.group_size = group_size
        super().__init__(spatial_dims, in_channels, out_channels, width=width, dropout=dropout)

    def _group_sizes(self, in_channels: int, first: bool) -> tuple[int | None, int | None]:
        image = first and in_channels < ENCODER_CHANNELS[0] and self.group_size != 1
        return in_channels if image else self.group_size, self.group_size
