"""Compute grouped conv sets as one dense convolution where that is less work, in training too."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from monai_lesion.networks.blocks import GroupedConvolution


class MergedConvolution(nn.Module):
    """A :class:`~monai_lesion.networks.blocks.GroupedConvolution` computed as one dense convolution.

    The product of the grouped and the pointwise weights is formed anew in each call, and gradients flow to both. Names
    and shapes of the weights are those of the grouped convolution, whose modules it takes over.

    Args:
        convolution: the grouped convolution.

    Example:
        >>> grouped = GroupedConvolution(2, 128, 64, group_size=128)
        >>> x = torch.rand(1, 128, 8, 8)
        >>> bool(torch.allclose(MergedConvolution(grouped)(x), grouped(x), atol=1e-5))
        True
    """

    def __init__(self, convolution: GroupedConvolution) -> None:
        super().__init__()
        self.grouped, self.pointwise = parts(convolution)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``x`` with the product."""
        weight, bias = product(self.grouped, self.pointwise)
        convolve: Any = getattr(torch, f"conv{weight.ndim - 2}d")
        return convolve(x, weight, bias, padding=1)  # type: ignore[no-any-return]


def merge_sets(network: nn.Module, merge: bool = True) -> nn.Module:
    """Replace each grouped conv set that takes fewer multiply-adds as a dense one by its :class:`MergedConvolution`.

    Replaces seven of the eighteen sets of Lighter U-net @128, four of @64 and none of the smaller ones. Logits and
    gradients differ only by rounding, and weights are saved as before.

    Args:
        network: changed in place.
        merge: False does nothing, for a config.

    Returns:
        The network.
    """
    for parent in list(network.modules()) if merge else []:
        for name, child in list(parent.named_children()):
            if isinstance(child, GroupedConvolution) and dense_is_less(child):
                setattr(parent, name, MergedConvolution(child))
    return network


def product(
    grouped: _ConvNd, pointwise: _ConvNd, dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute weight and bias of the dense convolution that equals a grouped and a pointwise one.

    Args:
        grouped: keeps the channels.
        pointwise: mixes them.
        dtype: type in which to form the product; None for that of the weights.
    """
    kernel, mixing = grouped.weight.to(dtype), pointwise.weight.to(dtype).flatten(1)
    channels, size, window = kernel.shape[0], kernel.shape[1], kernel.shape[2:]
    groups, outputs = channels // size, mixing.shape[0]
    each = mixing.reshape(outputs, groups, size), kernel.reshape(groups, size, size, -1)
    weight = torch.einsum("ogm,gmik->ogik", *each).reshape(outputs, channels, *window)
    bias = mixing.new_zeros(outputs) if pointwise.bias is None else pointwise.bias.to(mixing.dtype)
    return weight, bias if grouped.bias is None else bias + mixing @ grouped.bias.to(mixing.dtype)


def dense_is_less(convolution: GroupedConvolution) -> bool:
    """Whether one dense convolution takes fewer multiply-adds per pixel; without stride, that is fewer weights."""
    grouped, pointwise = parts(convolution)
    dense = pointwise.weight.numel() * grouped.weight[0, 0].numel()
    return bool(dense < grouped.weight.numel() + pointwise.weight.numel())


def parts(convolution: GroupedConvolution) -> tuple[_ConvNd, _ConvNd]:
    """Take the grouped and the pointwise convolution."""
    grouped, pointwise = convolution.children()
    if not (isinstance(grouped, _ConvNd) and isinstance(pointwise, _ConvNd)):
        raise TypeError("a grouped convolution has two convolutions")
    return grouped, pointwise
