"""CMUNeXt, a light network for ultrasound from elsewhere to compare with: large depthwise kernels, fused skips."""

from __future__ import annotations

import torch
from monai.networks.blocks import UpSample
from torch import nn

from monai_lesion.networks.blocks import ConvSet
from monai_lesion.networks.contracts import SegmentationNetwork, crop_like, pad_to_multiple, refuse_volumes

CHANNELS = (16, 32, 128, 160, 256)
DEPTHS = (1, 1, 1, 3, 1)
KERNELS = (3, 3, 7, 7, 7)
EXPANSION = 4


def convolved(in_channels: int, out_channels: int, kernel: int, *, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, GELU and batch normalisation, in this order."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups)
    return nn.Sequential(conv, nn.GELU(), nn.BatchNorm2d(out_channels))


class LargeKernelBlock(nn.Module):
    r"""A large depthwise convolution as a residual, then two pointwise ones, wide between.

    ::

        x -- depthwise k x k --+
         \---------------------+ -- 1 x 1 to 4 C -- 1 x 1 to C --

    Args:
        channels: number of channels, of input and output.
        kernel: side of the depthwise kernel, odd.

    Shape:
        - input and output: ``(B, channels, H, W)``
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = convolved(channels, channels, kernel, groups=channels)
        self.wide = convolved(channels, EXPANSION * channels, 1)
        self.narrow = convolved(EXPANSION * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix places, then channels."""
        return self.narrow(self.wide(x + self.depthwise(x)))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """A decoder stage: doubles the resolution, convolves, and fuses with the skip.

    ::

        x -- bilinear x 2 -- conv set --+
                                        cat [skip, x] -- 3 x 3 in two groups -- 1 x 1 to 4 C -- 1 x 1 to C --
        skip ---------------------------+

    The two groups are the skip and ``x``: each is seen in its surroundings before the two mix.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels, the skip's as well.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = UpSample(2, scale_factor=2, mode="nontrainable", interp_mode="linear", align_corners=False)
        self.conv = ConvSet(2, in_channels, out_channels, group_size=None)
        self.both = convolved(2 * out_channels, 2 * out_channels, 3, groups=2)
        self.wide = convolved(2 * out_channels, EXPANSION * out_channels, 1)
        self.narrow = convolved(EXPANSION * out_channels, out_channels, 1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Merge ``x`` ``(B, C1, H, W)`` with ``skip`` ``(B, C2, 2H, 2W)``."""
        x = torch.cat([skip, self.conv(self.up(x))], dim=1)
        return self.narrow(self.wide(self.both(x)))  # type: ignore[no-any-return]


class CMUNeXt(SegmentationNetwork):
    r"""A U-net of large depthwise kernels, made for ultrasound on small machines.

    ::

        image -- 16 ------------------------------- 16 -- 1 x 1 -- logits
                  \-- 32 --------------------- 32 --/
                        \-- 128 -------- 128 --/
                              \-- 160 -- 160 --/
                                \-- 256 --/  (dropout)

    An outside landmark: a network that others compare with, so that the paper's can be judged beside it. A stage is one
    to three large-kernel blocks and a conv set. Sides that 16 does not divide are padded with zeros, half before and
    half after, and cropped back.

    Args:
        spatial_dims: 2; it is a network of images.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        dropout: probability of dropping a value after the last encoder stage; its authors drop none.

    Shape:
        - input: ``(B, in_channels, H, W)``, every side at least 16
        - output: logits ``(B, out_channels, H, W)``; the sigmoid belongs to loss and postprocessing

        In training, one image needs a side of more than 16: batch normalisation cannot normalise a single value.

    Raises:
        InputError: for arguments out of range.

    Source:
        Tang, Ding, Quan, Wang, Ning, Zhou, *CMUNeXt: An efficient medical image segmentation network based on large
        kernel and skip fusion*, ISBI 2024 (3.15 million parameters).

    Example:
        >>> CMUNeXt().eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 1, *, dropout: float = 0.0
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        refuse_volumes("CMUNeXt", spatial_dims)
        channels = CHANNELS[0]
        self.stem = ConvSet(2, in_channels, channels, group_size=None)
        encoder: list[nn.Module] = []
        for i, (out, depth, kernel) in enumerate(zip(CHANNELS, DEPTHS, KERNELS, strict=True)):
            pool: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
            blocks = [LargeKernelBlock(channels, kernel) for _ in range(depth)]
            encoder.append(nn.Sequential(*pool, *blocks, ConvSet(2, channels, out, group_size=None)))
            channels = out
        self.encoder = nn.ModuleList(encoder)
        self.dropout = nn.Dropout(dropout)
        decoder: list[nn.Module] = []
        for out in CHANNELS[-2::-1]:
            decoder.append(Fusion(channels, out))
            channels = out
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Conv2d(channels, out_channels, 1)
        self.deep_channels = CHANNELS[-1]

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features at 1/1 to 1/16 of the resolution, after ``x`` itself."""
        features = [x]
        x = self.stem(pad_to_multiple(x, 16))
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return features

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W)`` from them."""
        x = self.dropout(features[-1])
        for i, up in enumerate(self.decoder):
            x = up(x, features[-2 - i])
        return crop_like(self.head(x), features[0])
