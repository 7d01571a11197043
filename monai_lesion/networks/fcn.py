"""The fully convolutional networks of the paper's comparison: FCN-32s, FCN-16s and FCN-8s."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.contracts import SegmentationNetwork, crop_like, initialise_for_relu, pad_to_multiple

# VGG-16: channels and number of the 3 x 3 convolutions of each stage, a pooling after each stage.
ENCODER = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
DECODER_CHANNELS = (512, 256, 128, 64, 32)
STRIDES = (32, 16, 8)


class Upsampling(nn.Module):
    """Doubles the resolution with a transposed convolution and adds a skip.

    ::

        x -- transposed 3 x 3, stride 2 -- ReLU --+
                                                  + -- batch norm --
        skip (or nothing) ------------------------+

    Args:
        spatial_dims: 2 or 3.
        in_channels: number of input channels.
        out_channels: number of output channels, the skip's as well.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``, skip ``(B, out_channels, 2H, 2W[, 2D])``
        - output: ``(B, out_channels, 2H, 2W[, 2D])``
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        transposed = Conv[Conv.CONVTRANS, spatial_dims]
        self.conv = transposed(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.act = nn.ReLU(inplace=True)
        self.norm = Norm[Norm.BATCH, spatial_dims](out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Double ``x``, and add ``skip`` where there is one."""
        x = self.act(self.conv(x))
        if skip is not None:
            x = x + skip
        return self.norm(x)  # type: ignore[no-any-return]


class FCN(SegmentationNetwork):
    """Fully convolutional network on the convolutions of VGG-16, without its fully connected layers.

    ::

        image -- VGG stage 1 -- 2 -- 3 (1/8) -- 4 (1/16) -- 5 (1/32) -- (dropout) --+
                                     |8s        |8s, 16s                            |
        logits -- 1 x 1 -- x 2 -- x 2 -- x 2 ---+-- x 2 ----------------- x 2 ------+

    FCN-32s adds no skip, FCN-16s that of stage 4, FCN-8s those of stages 4 and 3: all three have the same layers.
    Sides that are not a multiple of 32 are padded with zeros, half before and half after, and cropped back. It
    trains from scratch (the paper does not say how it began), with He's initialisation.

    Args:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        stride: 32, 16 or 8, the resolution of the finest skip.
        dropout: probability of dropping a value after the last VGG stage; the paper mentions none.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``, every side at least 16
        - output: logits ``(B, out_channels, H, W[, D])``

    Raises:
        InputError: for arguments out of range.

    Source:
        Long, Shelhamer, Darrell, *Fully convolutional networks for semantic segmentation*, CVPR 2015; the decoder as
        in Li et al., ISBI 2021, table 1 (18,643,713 parameters).

    Example:
        >>> FCN(stride=16).eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        stride: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        if stride not in STRIDES:
            raise InputError("stride", "must be 32, 16 or 8", got=repr(stride))
        self.stride = stride
        stages: list[nn.Module] = []
        channels = in_channels
        for out, convolutions in ENCODER:
            layers: list[nn.Module] = []
            for _ in range(convolutions):
                layers += [Conv[Conv.CONV, spatial_dims](channels, out, 3, padding=1), nn.ReLU(inplace=True)]
                channels = out
            stages.append(nn.Sequential(*layers, Pool[Pool.MAX, spatial_dims](2)))
        self.encoder = nn.ModuleList(stages)
        self.dropout = nn.Dropout(dropout)
        ups: list[nn.Module] = []
        for out in DECODER_CHANNELS:
            ups.append(Upsampling(spatial_dims, channels, out))
            channels = out
        self.decoder = nn.ModuleList(ups)
        self.head = Conv[Conv.CONV, spatial_dims](channels, out_channels, 1)
        self.deep_channels = ENCODER[-1][0]
        initialise_for_relu(self)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the output of each VGG stage, 1/2 to 1/32 of the resolution, after ``x`` itself."""
        features = [x]
        x = pad_to_multiple(x, 32)  # five poolings
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return features

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W[, D])`` from them."""
        x = self.dropout(features[-1])
        for i, up in enumerate(self.decoder):
            if i == 0 and self.stride <= 16:
                x = up(x, features[4])
            elif i == 1 and self.stride <= 8:
                x = up(x, features[3])
            else:
                x = up(x)
        return crop_like(self.head(x), features[0])
