"""What every network here promises: its arguments checked, logits of the input's size, clear refusals."""

from __future__ import annotations

import torch
from torch import nn

from monai_lesion.errors import InputError

MIN_SIZE = 16  # four 2 x 2 poolings of the U-nets


class SegmentationNetwork(nn.Module):
    """A network that turns a picture into logits of its size.

    Args:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: number of input channels.
        out_channels: number of output channels.
        dropout: probability of dropping a value in training.

    Shape:
        - input: ``(B, in_channels, H, W[, D])``, every side at least 16
        - output: logits ``(B, out_channels, H, W[, D])``

    Raises:
        InputError: for arguments out of range.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError("spatial_dims", "must be 2 or 3", got=spatial_dims)
        if in_channels < 1 or out_channels < 1:
            raise InputError("in_channels, out_channels", "must be positive", got=f"{in_channels}, {out_channels}")
        if not 0 <= dropout < 1:
            raise InputError("dropout", "must be at least 0 and less than 1", got=dropout)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels

    @torch.jit.unused
    def check(self, x: torch.Tensor) -> None:
        """Refuse an input of another shape.

        Raises:
            InputError: naming the shape that is wanted.
        """
        if x.dim() != 2 + self.spatial_dims or x.shape[1] != self.in_channels:
            axes = "(B, {}, H, W{})".format(self.in_channels, ", D" if self.spatial_dims == 3 else "")
            raise InputError("input", f"must have the shape {axes}", got=tuple(x.shape))
        if min(x.shape[2:]) < MIN_SIZE:
            raise InputError("input", f"must have sides of at least {MIN_SIZE} pixels", got=tuple(x.shape))


def initialise_for_relu(network: nn.Module) -> None:
    """He's initialisation of every convolution, biases 0.

    PyTorch's default halves the signal in each layer with a ReLU; without batch normalisation thirteen such layers
    leave hardly a gradient.

    Source:
        He et al., *Delving deep into rectifiers*, ICCV 2015.
    """
    for layer in network.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
