"""UNeXt, a small network from elsewhere to compare with: convolutions on large features, shifted MLPs on small ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.networks.contracts import SegmentationNetwork, crop_like, pad_to_multiple, refuse_volumes

CHANNELS = (16, 32, 128, 160, 256)
CONVOLUTIONAL = 3  # stages of CHANNELS; the others are of tokens


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of the channels at each place, of features ``(B, C, H, W)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x``; the shape stays."""
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ShiftedMLP(nn.Module):
    r"""A perceptron of each place's channels, which sees its neighbours because parts of the channels are shifted.

    ::

        x -- norm -- shift rows -- 1 x 1 -- depthwise 3 x 3 -- GELU -- shift columns -- 1 x 1 --+
         \--------------------------------------------------------------------------------------+ --

    Args:
        channels: number of channels, of input and output.

    Shape:
        - input and output: ``(B, channels, H, W)``
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.second = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to ``x`` what the perceptron makes of it."""
        y = self.first(shift(self.norm(x), 2))
        y = F.gelu(self.depthwise(y))
        return x + self.second(shift(y, 3))  # type: ignore[no-any-return]


def shift(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Shift a fifth of the channels each by -2, -1, 0, 1 and 2 places; zeros come in.

    Args:
        x: features ``(B, C, H, W)``.
        axis: 2 shifts rows, 3 columns.

    Example:
        >>> shift(torch.arange(1.0, 4.0).expand(1, 5, 1, 3), 3)[0, :, 0].int().tolist()
        [[3, 0, 0], [2, 3, 0], [1, 2, 3], [0, 1, 2], [0, 0, 1]]
    """
    reach = 2  # places, the farthest
    padded = F.pad(x, [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0])
    parts: list[torch.Tensor] = []
    for i, part in enumerate(padded.chunk(2 * reach + 1, 1)):
        parts.append(part.narrow(axis, 2 * reach - i, x.shape[axis]))
    return torch.cat(parts, 1)


class TokenStage(nn.Sequential):
    """Half the resolution and another width, then a shifted MLP.

    ::

        -- 3 x 3, stride 2 -- norm -- shifted MLP -- norm --
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1))
        self.add_module("embedded", ChannelNorm(out_channels))
        self.add_module("mlp", ShiftedMLP(out_channels))
        self.add_module("norm", ChannelNorm(out_channels))


class Doubling(nn.Module):
    """A decoder stage: convolves, doubles the resolution and adds the skip.

    ::

        x -- 3 x 3 -- batch norm -- bilinear x 2 -- ReLU --+
                                                           + -- (shifted MLP -- norm) --
        skip (or nothing) ---------------------------------+

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels, the skip's as well.
        normalised: whether there is batch normalisation.
        mixed: whether there is a shifted MLP.
    """

    def __init__(self, in_channels: int, out_channels: int, *, normalised: bool, mixed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels) if normalised else nn.Identity()
        self.mixed = nn.Sequential(ShiftedMLP(out_channels), ChannelNorm(out_channels)) if mixed else nn.Identity()

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Double ``x`` ``(B, C1, H, W)`` and add ``skip`` ``(B, C2, 2H, 2W)``, if there is one."""
        x = F.interpolate(self.norm(self.conv(x)), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.relu(x)
        if skip is not None:
            x = x + skip
        return self.mixed(x)  # type: ignore[no-any-return]


class UNeXt(SegmentationNetwork):
    r"""Convolutions down to an eighth of the resolution, shifted MLPs below: few operations, a view of the whole.

    ::

        image -- 16 (1/2) --------------------------- 16 -- 16 (1/1) -- 1 x 1 -- logits
                  \-- 32 (1/4) ------------------ 32 --/
                        \-- 128 (1/8) ------ 128 --/
                              \-- 160 MLP -- 160 --/
                                \-- 256 MLP --/  (dropout)

    An outside landmark: a network that others compare with, so that the paper's can be judged beside it. Skips are
    added. Sides that 32 does not divide are padded with zeros, half before and half after, and cropped back.

    Args:
        spatial_dims: 2; the shifts are along rows and columns.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        dropout: probability of dropping a value after the last encoder stage; its authors drop none.

    Shape:
        - input: ``(B, in_channels, H, W)``, every side at least 16
        - output: logits ``(B, out_channels, H, W)``; the sigmoid belongs to loss and postprocessing

    Raises:
        InputError: for arguments out of range.

    Source:
        Valanarasu, Patel, *UNeXt: MLP-based rapid medical image segmentation network*, MICCAI 2022 (1.47 million
        parameters; the first two widths are those of the authors' code, half of what the text says).

    Example:
        >>> UNeXt().eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 1, *, dropout: float = 0.0
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        refuse_volumes("UNeXt", spatial_dims)
        encoder: list[nn.Module] = []
        channels = in_channels
        for out in CHANNELS[:CONVOLUTIONAL]:
            layers = nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.MaxPool2d(2), nn.ReLU(inplace=True)
            encoder.append(nn.Sequential(*layers))
            channels = out
        for out in CHANNELS[CONVOLUTIONAL:]:
            encoder.append(TokenStage(channels, out))
            channels = out
        self.encoder = nn.ModuleList(encoder)
        self.dropout = nn.Dropout(dropout)
        decoder: list[nn.Module] = []
        for i, out in enumerate([*CHANNELS[-2::-1], CHANNELS[0]]):
            last, mixed = i == len(CHANNELS) - 1, i < len(CHANNELS) - CONVOLUTIONAL
            decoder.append(Doubling(channels, out, normalised=not last, mixed=mixed))
            channels = out
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Conv2d(channels, out_channels, 1)
        self.deep_channels = CHANNELS[-1]

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features at 1/2 to 1/32 of the resolution, after ``x`` itself."""
        features = [x]
        x = pad_to_multiple(x, 32)
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return features

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W)`` from them."""
        x = self.dropout(features[-1])
        for i, up in enumerate(self.decoder):
            # The last doubling has the picture beside it, no features.
            x = up(x, features[-2 - i]) if i + 2 < len(features) else up(x)
        return crop_like(self.head(x), features[0])
