"""The U-Net family of the paper: one layout, three kinds of conv set."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.blocks import Down, Stage, Up

ENCODER_CHANNELS = (64, 128, 256, 512, 512)
DECODER_CHANNELS = (256, 128, 64, 64)
MIN_SIZE = 16  # four 2 x 2 poolings


class UNet(nn.Module):
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
        self, spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 1, *, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError("spatial_dims", "must be 2 or 3", got=spatial_dims)
        if in_channels < 1 or out_channels < 1:
            raise InputError("in_channels, out_channels", "must be positive", got=f"{in_channels}, {out_channels}")
        if not 0 <= dropout < 1:
            raise InputError("dropout", "must be at least 0 and less than 1", got=dropout)
        self.spatial_dims = spatial_dims

        def stage(inputs: int, mid: int, out: int) -> Stage:
            return Stage(spatial_dims, inputs, mid, out, group_sizes=self._group_sizes(inputs))

        first, *rest = ENCODER_CHANNELS
        encoder: list[nn.Module] = [stage(in_channels, first, first)]
        channels = first
        for out in rest:
            encoder.append(Down(spatial_dims, stage(channels, out, out)))
            channels = out
        self.encoder = nn.ModuleList(encoder)
        self.dropout = nn.Dropout(dropout)
        decoder: list[nn.Module] = []
        for skip, out in zip(reversed(ENCODER_CHANNELS[:-1]), DECODER_CHANNELS, strict=True):
            inputs = skip + channels
            decoder.append(Up(spatial_dims, stage(inputs, inputs // 2, out)))
            channels = out
        self.decoder = nn.ModuleList(decoder)
        self.head = Conv[Conv.CONV, spatial_dims](channels, out_channels, 1)
        self.in_channels = in_channels

    def _group_sizes(self, in_channels: int) -> tuple[int | None, int | None]:
        """The group sizes of the two conv sets of a stage with ``in_channels``; None is a regular convolution."""
        return None, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W[, D])`` of ``x`` ``(B, in_channels, H, W[, D])``."""
        if not (torch.jit.is_scripting() or torch.jit.is_tracing()):  # type: ignore
            self._check(x)
        skips: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.dropout(x)
        for i, up in enumerate(self.decoder):
            x = up(x, skips[-2 - i])
        return self.head(x)  # type: ignore[no-any-return]

    @torch.jit.unused
    def _check(self, x: torch.Tensor) -> None:
        if x.dim() != 2 + self.spatial_dims or x.shape[1] != self.in_channels:
            axes = "(B, {}, H, W{})".format(self.in_channels, ", D" if self.spatial_dims == 3 else "")
            raise InputError("input", f"must have the shape {axes}", got=tuple(x.shape))
        if min(x.shape[2:]) < MIN_SIZE:
            raise InputError("input", f"must have sides of at least {MIN_SIZE} pixels", got=tuple(x.shape))


class LightUNet(UNet):
    """Light U-net: the second conv set of every stage is depthwise separable.

    Arguments, shapes and errors are those of :class:`UNet`.

    Source:
        Li et al., ISBI 2021, section 3.1 and table 2 (11,000,257 parameters).
    """

    def _group_sizes(self, in_channels: int) -> tuple[int | None, int | None]:
        return None, 1


class LighterUNet(UNet):
    """Lighter U-net @C: both conv sets of every stage are grouped 3 x 3, then pointwise 1 x 1.

    Args:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: number of input channels, 3 for RGB.
        out_channels: number of output channels.
        group_size: channels per group, the paper's ``C``; must divide the channel counts 64, 128 ... 1024.
            The first layer always takes all its input channels as one group, except with ``group_size=1``.
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
        dropout: float = 0.5,
    ) -> None:
        if not isinstance(group_size, int):
            raise InputError("group_size", "must be a positive integer", got=repr(group_size))
        self.group_size = group_size
        super().__init__(spatial_dims, in_channels, out_channels, dropout=dropout)

    def _group_sizes(self, in_channels: int) -> tuple[int | None, int | None]:
        narrow = in_channels < ENCODER_CHANNELS[0] and self.group_size != 1  # the image itself
        return in_channels if narrow else self.group_size, self.group_size
