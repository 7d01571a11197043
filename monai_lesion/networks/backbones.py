"""The backbones of DeepLab v3+: MobileNetV2 and ResNet-101, their last strides replaced by dilation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import nn


class SamePadding(nn.Conv2d):
    """A strided convolution that pads as TensorFlow does: one more zero after the input than before it.

    PyTorch pads both ends alike, so its strided convolution sees different pixels from those that a TensorFlow network
    was trained on. The stride must divide the sides of the input.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, out_channels, H / stride, W / stride)``."""
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        # With the value written out, ONNX Runtime makes the padding a part of the convolution.
        padded = F.pad(input, [before, after, before, after], value=0.0)
        return self._conv_forward(padded, self.weight, self.bias)  # type: ignore[no-any-return]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    same: bool = False,
) -> nn.Sequential:
    """Build a convolution without bias that keeps the size, batch normalisation and an activation.

    ::

        -- conv -- batch norm -- (activation) --

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        kernel_size: 1, 3, 5 or 7.
        stride: step of the convolution.
        dilation: step within the kernel, the atrous rate.
        groups: number of channel groups that are convolved separately.
        act: class of the activation; None leaves it out.
        norm: makes the normalisation from the number of channels.
        same: whether a strided convolution pads as TensorFlow does, see :class:`SamePadding`.
    """
    kind, padding = nn.Conv2d, dilation * (kernel_size // 2)
    if same and stride > 1:
        kind, padding = SamePadding, 0
    conv = kind(in_channels, out_channels, kernel_size, stride, padding, dilation=dilation, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, norm(out_channels)]
    return nn.Sequential(*layers if act is None else [*layers, act(inplace=True)])


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: widen, convolve each channel separately, narrow; the input is added if the shape stays.

    ::

        x --+-- 1 x 1 -- depthwise k x k -- 1 x 1 --+--
            +---------------------------------------+

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        stride: stride of the depthwise convolution.
        dilation: dilation of the depthwise convolution.
        expansion: how many times wider the middle is; 1 leaves out the first convolution.
        kernel_size: kernel size of the depthwise convolution.
        norm: see :func:`convolution`.
        same: see :func:`convolution`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        expansion: int,
        dilation: int = 1,
        kernel_size: int = 3,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        same: bool = False,
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        widen = [] if expansion == 1 else [convolution(in_channels, wide, 1, act=nn.ReLU6, norm=norm)]
        depthwise = convolution(
            wide, wide, kernel_size, stride=stride, dilation=dilation, groups=wide, act=nn.ReLU6, norm=norm, same=same
        )
        self.layers = nn.Sequential(*widen, depthwise, convolution(wide, out_channels, 1, act=None, norm=norm))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, out_channels, H / stride, W / stride)``."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class Bottleneck(nn.Module):
    """The block of ResNet-101: narrow, convolve, widen fourfold, and add.

    ::

        x --+-- 1 x 1 -- 3 x 3 -- 1 x 1 --+-- ReLU --
            +-- (1 x 1 where shapes differ)

    Args:
        in_channels: number of input channels.
        mid_channels: channels of the 3 x 3 convolution; the output has four times as many.
        stride: stride of the 3 x 3 convolution.
        dilation: dilation of the 3 x 3 convolution.
    """

    def __init__(self, in_channels: int, mid_channels: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        out = 4 * mid_channels
        self.layers = nn.Sequential(
            convolution(in_channels, mid_channels, 1),
            convolution(mid_channels, mid_channels, 3, stride=stride, dilation=dilation),
            convolution(mid_channels, out, 1, act=None),
        )
        same = stride == 1 and in_channels == out
        self.shortcut = nn.Identity() if same else convolution(in_channels, out, 1, stride=stride, act=None)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, 4 * mid_channels, H / stride, W / stride)``."""
        return self.act(self.layers(x) + self.shortcut(x))  # type: ignore[no-any-return]


class Backbone(nn.Module):
    """What DeepLab v3+ needs from a backbone: features at 1/4 and 1/16 of the resolution.

    Args:
        early: layers down to 1/4.
        late: layers from 1/4 down to 1/16.
        low_level_channels: channels at 1/4.
        out_channels: channels at 1/16.

    Shape:
        - input: ``(B, in_channels, H, W)``
        - output: ``(B, low_level_channels, H / 4, W / 4)`` and ``(B, out_channels, H / 16, W / 16)``
    """

    def __init__(self, early: nn.Sequential, late: nn.Sequential, low_level_channels: int, out_channels: int) -> None:
        super().__init__()
        self.early, self.late = early, late
        self.low_level_channels, self.out_channels = low_level_channels, out_channels

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the features at both resolutions."""
        low = self.early(x)
        return low, self.late(low)


# Table 2 of the MobileNetV2 paper: expansion, channels, blocks, stride of the first block, rate. The last stride (of
# the 160 channels) is removed, and the rate of what follows it doubled. The layer of 1280 channels is left out.
MOBILENETV2 = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 2, 1),
    (6, 96, 3, 1, 1),
    (6, 160, 3, 1, 1),
    (6, 320, 1, 1, 2),
)


def mobilenetv2(in_channels: int = 3) -> Backbone:
    """Build MobileNetV2 up to its 320 channels at output stride 16; its low-level features have 24 channels.

    Source:
        Sandler et al., *MobileNetV2: Inverted residuals and linear bottlenecks*, CVPR 2018.
    """
    early: list[nn.Module] = [convolution(in_channels, 32, 3, stride=2, act=nn.ReLU6)]
    late: list[nn.Module] = []
    channels = 32
    for number, (expansion, out, blocks, stride, rate) in enumerate(MOBILENETV2):
        for block in range(blocks):
            step = stride if block == 0 else 1
            layer = InvertedResidual(channels, out, stride=step, dilation=rate, expansion=expansion)
            (early if number < 2 else late).append(layer)
            channels = out
    return Backbone(nn.Sequential(*early), nn.Sequential(*late), 24, channels)


# ResNet-101: channels of the 3 x 3 convolutions, stride of the first block, rate of each block.
RESNET101 = (
    (64, 1, (1,) * 3),
    (128, 2, (1,) * 4),
    (256, 2, (1,) * 23),
    (512, 1, (2, 4, 8)),
)


def resnet101(in_channels: int = 3) -> Backbone:
    """Build ResNet-101 at output stride 16, rates 2, 4, 8 in its last stage; its low-level features have 256 channels.

    Source:
        He et al., *Deep residual learning for image recognition*, CVPR 2016; the rates of Chen et al., *Rethinking
        atrous convolution for semantic image segmentation*, 2017.
    """
    early: list[nn.Module] = [convolution(in_channels, 64, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1)]
    late: list[nn.Module] = []
    channels = 64
    for number, (mid, stride, rates) in enumerate(RESNET101):
        for block, rate in enumerate(rates):
            layer = Bottleneck(channels, mid, stride=stride if block == 0 else 1, dilation=rate)
            (early if number == 0 else late).append(layer)
            channels = 4 * mid
    return Backbone(nn.Sequential(*early), nn.Sequential(*late), 256, channels)


BACKBONES: Mapping[str, Callable[[int], Backbone]] = MappingProxyType(
    {"mobilenetv2": mobilenetv2, "resnet101": resnet101}
)
