"""A U-net whose encoder was trained on ImageNet, under the paper's light decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.blocks import Stage, Up
from monai_lesion.networks.contracts import SegmentationNetwork, crop_like, pad_to_multiple, refuse_volumes
from monai_lesion.networks.efficientnet_lite import EfficientNetLite, load_imagenet, normalisation

DECODER_CHANNELS = (128, 64, 48, 32, 16)


class EncoderUNet(SegmentationNetwork):
    r"""EfficientNet-Lite as the encoder, grouped conv sets as the decoder.

    ::

        image -- 1/2 --------------------------------- 32 -- 16 -- 1 x 1 -- logits
                  \-- 1/4 ----------------------- 48 --/
                        \-- 1/8 ------------ 64 --/
                              \-- 1/16 - 128 --/
                                \-- 1/32 --/  (dropout)

    The picture comes in as every network's here, RGB from 0 to 1: ImageNet's mean and deviation are taken off inside.
    Sides that ``output_stride`` does not divide are padded with black, half before and half after, and cropped back.
    With fewer decoder stages than halvings, the logits are computed at a half or a quarter of the resolution and
    enlarged, which saves the dearest layers.

    Args:
        spatial_dims: 2; the encoders are networks of images.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        encoder: ``"efficientnet-lite0"``, ``"efficientnet-lite1"`` or ``"efficientnet-lite2"``.
        encoder_weights: ``"imagenet"`` to begin with the weights of the extra ``encoders``, None from scratch. Set it
            to None where weights are loaded anyhow.
        decoder_channels: channels of the decoder stages, the deepest first, at most one for each halving. None takes
            (128, 64, 48, 32, 16), and for ``output_stride=16`` the last four.
        group_size: channels per group in the decoder; 1 is depthwise separable, None a regular 3 x 3 convolution.
        output_stride: 32, or 16 to leave out the encoder's last two stages, three quarters of the parameters.
        dropout: probability of dropping a value after the encoder.

    Shape:
        - input: ``(B, in_channels, H, W)``, every side at least 16
        - output: logits ``(B, out_channels, H, W)``; the sigmoid belongs to loss and postprocessing

        In training, one image needs a side of more than ``output_stride``: batch normalisation cannot normalise a
        single value.

    Raises:
        InputError: for arguments out of range, and where the package with the weights is not installed.

    Source:
        Encoder as of :class:`~monai_lesion.networks.efficientnet_lite.EfficientNetLite`; decoder of Li et al., ISBI
        2021, section 3.2.

    Example:
        >>> EncoderUNet(encoder_weights=None).eval()(torch.zeros(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        encoder: str = "efficientnet-lite0",
        encoder_weights: str | None = "imagenet",
        decoder_channels: Sequence[int] | None = None,
        group_size: int | None = 1,
        output_stride: int = 32,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, dropout)
        refuse_volumes("EncoderUNet", spatial_dims)
        if encoder_weights not in ("imagenet", None):
            raise InputError("encoder_weights", 'must be "imagenet" or None', got=repr(encoder_weights))
        if encoder_weights is not None and in_channels != 3:
            fix = "Set encoder_weights=None to train from scratch"
            raise InputError("in_channels", "must be 3 for an encoder of ImageNet", got=in_channels, fix=fix)
        self.encoder = EfficientNetLite(encoder, in_channels, output_stride=output_stride)
        if encoder_weights is not None:
            load_imagenet(self.encoder, encoder)
        self.output_stride = output_stride
        self.encoder_name = encoder
        mean, std = normalisation(in_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.dropout = nn.Dropout(dropout)
        *skips, channels = self.encoder.channels
        self.deep_channels = channels
        self.reduction = 2 ** (1 + len(skips))
        decoder: list[nn.Module] = []
        for skip, out in zip([*reversed(skips), 0], _checked(decoder_channels, output_stride), strict=False):
            stage = Stage(2, skip + channels, out, out, group_sizes=(group_size, group_size))
            decoder.append(Up(2, stage, pads=False))  # sides are multiples of the stride
            channels = out
            self.reduction //= 2
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Conv2d(channels, out_channels, 1)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of the encoder, which a recipe may move more slowly."""
        return list(self.encoder.parameters())

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features at 1/2 to ``1 / output_stride`` of the resolution, after ``x`` itself."""
        features: list[torch.Tensor] = [x]
        features += self.encoder((pad_to_multiple(x, self.output_stride) - self.mean) / self.std)  # type: ignore[operator]
        return features

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W)`` from them."""
        x = self.dropout(features[-1])
        for i, up in enumerate(self.decoder):
            # The last doubling has the picture beside it, no features.
            x = up(x, features[-2 - i]) if i + 2 < len(features) else up(x)
        x = self.head(x)
        if self.reduction > 1:
            x = F.interpolate(x, scale_factor=float(self.reduction), mode="bilinear", align_corners=False)
        return crop_like(x, features[0])


def _checked(channels: Sequence[int] | None, output_stride: int) -> Sequence[int]:
    """The channels of the decoder stages."""
    halvings = int(math.log2(output_stride))
    if channels is None:
        return DECODER_CHANNELS[-halvings:]
    if not 1 <= len(channels) <= halvings or not all(isinstance(each, int) and each > 0 for each in channels):
        rule = f"must be one to {halvings} positive integers for output_stride={output_stride}"
        raise InputError("decoder_channels", rule, got=repr(channels))
    return channels
