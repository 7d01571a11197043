"""The building blocks of the U-nets: convolutions, conv sets and stages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.blocks import UpSample
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import nn

from monai_lesion.errors import InputError


class GroupedConvolution(nn.Sequential):
    """Grouped convolution that keeps the channels, then a pointwise convolution that mixes the groups.

    ::

        -- grouped 3 x 3 -- pointwise 1 x 1 --

    Args:
        spatial_dims: 2 or 3.
        in_channels: number of input channels.
        out_channels: number of output channels.
        group_size: channels per group, the ``C`` of "Lighter U-net @C"; 1 is depthwise separable.
            Clamped to ``in_channels``.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``
        - output: ``(B, out_channels, H, W[, D])``

    Raises:
        InputError: when ``group_size`` is not positive or does not divide ``in_channels``.

    Source:
        Li et al., ISBI 2021, section 3.2.

    Example:
        >>> GroupedConvolution(2, 64, 128, group_size=16)(torch.zeros(1, 64, 32, 32)).shape
        torch.Size([1, 128, 32, 32])
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, *, group_size: int) -> None:
        super().__init__()
        size = min(group_size, in_channels) if isinstance(group_size, int) else 0
        if size < 1 or in_channels % size:
            raise InputError(
                "group_size",
                f"must be a positive integer that divides the channel count {in_channels}",
                got=group_size,
                fix="The paper uses 1, 2, 4, 8, 16, 32, 64 and 128",
            )
        conv = Conv[Conv.CONV, spatial_dims]
        self.add_module("grouped", conv(in_channels, in_channels, 3, padding=1, groups=in_channels // size))
        self.add_module("pointwise", conv(in_channels, out_channels, 1))


class ConvSet(nn.Sequential):
    """A convolution with its normalisation and activation, the paper's *conv set*.

    ::

        -- conv -- batch norm -- ReLU --

    Args:
        spatial_dims: 2 or 3.
        in_channels: number of input channels.
        out_channels: number of output channels.
        group_size: channels per group of a :class:`GroupedConvolution`; None is a regular 3 x 3 convolution.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``
        - output: ``(B, out_channels, H, W[, D])``

    Source:
        Li et al., ISBI 2021, section 3.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, *, group_size: int | None) -> None:
        super().__init__()
        conv = (
            Conv[Conv.CONV, spatial_dims](in_channels, out_channels, 3, padding=1)
            if group_size is None
            else GroupedConvolution(spatial_dims, in_channels, out_channels, group_size=group_size)
        )
        self.add_module("conv", conv)
        self.add_module("norm", Norm[Norm.BATCH, spatial_dims](out_channels))
        self.add_module("act", nn.ReLU(inplace=True))


class Stage(nn.Sequential):
    """Two conv sets.

    ::

        -- set1 -- set2 --

    Args:
        spatial_dims: 2 or 3.
        in_channels: number of input channels.
        mid_channels: number of channels between the sets.
        out_channels: number of output channels.
        group_sizes: the ``group_size`` of each :class:`ConvSet`.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``
        - output: ``(B, out_channels, H, W[, D])``
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        group_sizes: tuple[int | None, int | None],
    ) -> None:
        super().__init__()
        first, second = group_sizes
        self.add_module("set1", ConvSet(spatial_dims, in_channels, mid_channels, group_size=first))
        self.add_module("set2", ConvSet(spatial_dims, mid_channels, out_channels, group_size=second))


class Down(nn.Sequential):
    """An encoder stage at half the resolution.

    ::

        -- max pool 2 x 2 -- stage --
    """

    def __init__(self, spatial_dims: int, stage: Stage) -> None:
        super().__init__()
        self.add_module("pool", Pool[Pool.MAX, spatial_dims](2))
        self.add_module("stage", stage)


class Up(nn.Module):
    """A decoder stage: doubles the resolution, pads to the skip, concatenates and convolves.

    ::

        x ---- linear x 2 -- pad --+
                                   cat [skip, x] -- stage --
        skip ----------------------+

    Up-sampling is (bi, tri)linear with aligned corners. Where pooling did not divide a side evenly, zeros are
    added half before and half after, as in the authors' code. Without a skip, the stage sees only the enlarged input.

    Args:
        spatial_dims: 2 or 3.
        stage: what convolves.
        pads: whether a skip may be larger than twice ``x``. Padding by nothing still is a copy, and so it is left out
            where the network's sides are multiples.
    """

    def __init__(self, spatial_dims: int, stage: Stage, *, pads: bool = True) -> None:
        super().__init__()
        self.pads = pads
        self.up = UpSample(spatial_dims, scale_factor=2, mode="nontrainable", interp_mode="linear", align_corners=True)
        self.stage = stage

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Merge ``x`` ``(B, C1, H, W)`` with ``skip`` ``(B, C2, 2H or 2H + 1, 2W or 2W + 1)``, if there is one."""
        x = self.up(x)
        if skip is None:
            return self.stage(x)  # type: ignore[no-any-return]
        if self.pads:
            padding: list[int] = []
            for axis in range(x.dim() - 1, 1, -1):  # F.pad counts axes from the last one
                missing = skip.shape[axis] - x.shape[axis]
                padding += [missing // 2, missing - missing // 2]
            x = F.pad(x, padding)
        return self.stage(torch.cat([skip, x], dim=1))  # type: ignore[no-any-return]
