"""What every network here guarantees: checked arguments, logits of the input's size, clear errors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError

MIN_SIZE = 16  # four 2 x 2 poolings of the U-nets


class SegmentationNetwork(nn.Module):
    """A network that computes features of a picture, and from them logits of the picture's size.

    ::

        image -- encode -- [features at full size, ..., deepest features] -- decode -- logits

    A class defines ``encode``, ``decode`` and ``deep_channels``, the channels of the deepest features, on which
    further outputs can be built (:class:`~monai_lesion.networks.TrustHeads`).

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
        self.out_channels = out_channels
        self.deep_channels = 0  # each class says

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features of ``x`` ``(B, in_channels, H, W[, D])``: at full size first, the deepest last."""
        raise NotImplementedError

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W[, D])`` from the features of :meth:`encode`."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits ``(B, out_channels, H, W[, D])`` of ``x`` ``(B, in_channels, H, W[, D])``."""
        if not (torch.jit.is_scripting() or torch.jit.is_tracing()):  # type: ignore
            self.check(x)
        return self.decode(self.encode(x))

    def encoder_parameters(self) -> list[nn.Parameter]:
        """List pre-trained parameters, which a recipe may train more slowly; none here."""
        return []

    @torch.jit.unused
    def check(self, x: torch.Tensor) -> None:
        """Refuse an input of another shape.

        Raises:
            InputError: names the required shape.
        """
        if x.dim() != 2 + self.spatial_dims or x.shape[1] != self.in_channels:
            axes = "(B, {}, H, W{})".format(self.in_channels, ", D" if self.spatial_dims == 3 else "")
            raise InputError("input", f"must have the shape {axes}", got=tuple(x.shape))
        if min(x.shape[2:]) < MIN_SIZE:
            raise InputError("input", f"must have sides of at least {MIN_SIZE} pixels", got=tuple(x.shape))


def logits_of(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Take the logits from a network's output: a network may return a tuple, in which logits come first.

    Example:
        >>> logits, scores = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2)
        >>> logits_of((logits, scores)) is logits_of(logits) is logits
        True
    """
    return output if isinstance(output, torch.Tensor) else output[0]


def refuse_volumes(name: str, spatial_dims: int) -> None:
    """Check that a network of images is not asked for volumes.

    Raises:
        InputError: when ``spatial_dims`` is not 2.
    """
    if spatial_dims != 2:
        fix = "The U-nets and FCN take volumes"
        raise InputError("spatial_dims", f"must be 2 for {name}", got=spatial_dims, fix=fix)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad every side with zeros, half before and half after, to a multiple."""
    padding: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):  # F.pad counts axes from the last one
        missing = (multiple - x.shape[axis] % multiple) % multiple
        padding += [missing // 2, missing - missing // 2]
    return F.pad(x, padding)


def crop_like(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Undo :func:`pad_to_multiple`: cut the middle of ``x`` to the size of ``like``."""
    for axis in range(2, x.dim()):
        x = x.narrow(axis, (x.shape[axis] - like.shape[axis]) // 2, like.shape[axis])
    return x


def initialise_for_relu(network: nn.Module) -> None:
    """Initialise every convolution as He et al. do, with zero biases.

    PyTorch's default halves the signal in each layer with a ReLU; without batch normalisation thirteen such layers
    leave almost no gradient.

    Source:
        He et al., *Delving deep into rectifiers*, ICCV 2015.
    """
    for layer in network.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
