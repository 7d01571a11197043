"""DeepLab v3+ of the paper's comparison: atrous pyramid and decoder, on one of two backbones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.backbones import BACKBONES, convolution
from monai_lesion.networks.contracts import SegmentationNetwork, initialise_for_relu, refuse_volumes

RATES = (6, 12, 18)  # at output stride 16
CHANNELS, LOW_LEVEL_CHANNELS = 256, 48


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: one layer seen at five scales.

    ::

            +-- 1 x 1 -----------------------------+
            +-- 3 x 3, rates 6, 12, 18 (dense) ----+
        x --+                                      cat -- 1 x 1 -- dropout --
            +-- mean of the picture -- 1 x 1 ------+

    Every convolution is followed by batch normalisation and ReLU.

    Args:
        in_channels: channels of the backbone.
        dropout: probability of dropping a value at the end.

    Shape:
        - input: ``(B, in_channels, H, W)``
        - output: ``(B, 256, H, W)``
    """

    def __init__(self, in_channels: int, *, dropout: float) -> None:
        super().__init__()
        self.pointwise = convolution(in_channels, CHANNELS, 1)
        self.atrous = nn.ModuleList(convolution(in_channels, CHANNELS, 3, dilation=rate) for rate in RATES)
        self.pooled = convolution(in_channels, CHANNELS, 1)
        self.project = convolution((2 + len(RATES)) * CHANNELS, CHANNELS, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, 256, H, W)``."""
        scales = [self.pointwise(x)]
        for branch in self.atrous:
            scales.append(branch(x))
        mean = self.pooled(x.mean(dim=(2, 3), keepdim=True))
        scales.append(mean.expand(-1, -1, x.shape[2], x.shape[3]))
        return self.dropout(self.project(torch.cat(scales, dim=1)))  # type: ignore[no-any-return]


class DeepLabV3Plus(SegmentationNetwork):
    """DeepLab v3+ at output stride 16, trained from scratch.

    ::

        image -- backbone to 1/4 --+-- backbone to 1/16 -- atrous pyramid -- to 1/4 --+
                                   |                                                  |
                                   +-- 1 x 1 to 48 channels --------------------------cat --+
                                                                                            |
        logits -- enlarge -- 1 x 1 -- 3 x 3 -- dropout -- 3 x 3 ----------------------------+

    Enlarging is bilinear with aligned corners. Head and pyramid are dense; those of the original paper are depthwise
    separable (2,714,673 and 45,683,121 parameters). The paper prints 54.7 M for ResNet-101, which is the number of
    the implementation it cites with an Xception backbone (54,700,177). How it began the training it does not say; here
    from scratch, with He's initialisation.

    Args:
        spatial_dims: 2; the backbones are networks of images.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        backbone: ``"mobilenetv2"`` or ``"resnet101"``.
        dropout: probability of dropping a value after the pyramid and between the two 3 x 3 convolutions of the
            decoder.

    Shape:
        - input: ``(B, in_channels, H, W)``, every side at least 16
        - output: logits ``(B, out_channels, H, W)``

        In training B is at least 2: batch normalisation cannot normalise one pooled value.

    Raises:
        InputError: for arguments out of range, and for a single image in training.

    Source:
        Chen et al., *Encoder-decoder with atrous separable convolution for semantic image segmentation*, ECCV 2018;
        Li et al., ISBI 2021, table 1.

    Example:
        >>> DeepLabV3Plus(backbone="mobilenetv2").eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        backbone: str = "resnet101",
        dropout: float = 0.5,
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        refuse_volumes("DeepLab v3+", spatial_dims)
        if backbone not in BACKBONES:
            raise InputError("backbone", f"must be one of {', '.join(BACKBONES)}", got=repr(backbone))
        self.backbone = BACKBONES[backbone](in_channels)
        self.pyramid = AtrousPyramid(self.backbone.out_channels, dropout=dropout)
        self.low_level = convolution(self.backbone.low_level_channels, LOW_LEVEL_CHANNELS, 1)
        self.decoder = nn.Sequential(
            convolution(CHANNELS + LOW_LEVEL_CHANNELS, CHANNELS, 3),
            nn.Dropout(dropout),
            convolution(CHANNELS, CHANNELS, 3),
        )
        self.head = nn.Conv2d(CHANNELS, out_channels, 1)
        self.deep_channels = self.backbone.out_channels
        initialise_for_relu(self)

    @torch.jit.unused
    def check(self, x: torch.Tensor) -> None:
        """Refuse an input of another shape, and a single image in training."""
        super().check(x)
        if self.training and x.shape[0] < 2:
            fix = "Choose a batch size that does not leave one image over, or set drop_last of the loader"
            raise InputError("input", "must hold at least two images in training", got=tuple(x.shape), fix=fix)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features at 1/4 and 1/16 of the resolution, after ``x`` itself."""
        low, deep = self.backbone(x)
        return [x, low, deep]

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W)`` from them."""
        x, low, deep = features[0], self.low_level(features[1]), features[2]
        deep = _enlarge(self.pyramid(deep), low)
        logits = self.head(self.decoder(torch.cat([deep, low], dim=1)))
        return _enlarge(logits, x)


def _enlarge(x: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, size=to.shape[2:], mode="bilinear", align_corners=True)
