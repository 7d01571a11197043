"""What happens before and after the network in an exported model, in operations that every runtime has.

Resizing is spelt out with gathers and products, because each runtime's own resize rounds the place of a pixel
differently, and a grey level that rounds the other way changes the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def _counted(length: torch.Tensor) -> torch.Tensor:
    """Count 0, 1 ... ``length - 1``; a length that is a tensor stays a variable of the exported graph."""
    return torch.arange(length, dtype=torch.int64)  # type: ignore


def _neighbours(size: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find for each target pixel the source pixels before and after it, and its place between them."""
    scale = size.to(torch.float32) / target.to(torch.float32)
    # In double precision, then rounded once, as the fused multiply-add that PyTorch is built with.
    place = scale.to(torch.float64) * (_counted(target).to(torch.float64) + 0.5) - 0.5
    place = torch.clamp(place.to(torch.float32), min=0.0)
    first = torch.floor(place).to(torch.int64)
    return first, torch.minimum(first + 1, size - 1), place - first.to(torch.float32)


def resize(image: torch.Tensor, size: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Resize bilinearly with aligned pixel centres: ``torch.nn.functional.interpolate``, operation by operation.

    Args:
        image: float32 ``(C, H, W)``.
        size: rows and columns of the image, int64 ``(2,)``.
        target: rows and columns to make, int64 ``(2,)``.

    Example:
        >>> image = torch.rand(1, 5, 7)
        >>> resized = resize(image, torch.tensor([5, 7]), torch.tensor([4, 9]))
        >>> torch.allclose(resized, nn.functional.interpolate(image[None], (4, 9), mode="bilinear")[0])
        True
    """
    top, bottom, down = _neighbours(size[0], target[0])
    left, right, across = _neighbours(size[1], target[1])
    upper, lower = image.index_select(1, top), image.index_select(1, bottom)
    upper = upper.index_select(2, left) * (1 - across) + upper.index_select(2, right) * across
    lower = lower.index_select(2, left) * (1 - across) + lower.index_select(2, right) * across
    return upper * (1 - down).unsqueeze(1) + lower * down.unsqueeze(1)


class Before(nn.Module):
    """Turn a picture into the network's input.

    ::

        uint8 (H, W, 3) -- resize -- round -- / 255 -- float32 (1, 3, rows, columns)

    Args:
        spatial_size: rows and columns of the network's input.
    """

    def __init__(self, spatial_size: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("target", torch.tensor(list(spatial_size), dtype=torch.int64), persistent=False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the network's input, and the rows and columns of the picture."""
        size = torch._shape_as_tensor(image)[:2]
        pixels = resize(image.permute(2, 0, 1).to(torch.float32), size, self.target)  # type: ignore
        return (torch.round(pixels).clamp(0.0, 255.0) / 255.0).unsqueeze(0), size


class After(nn.Module):
    """Turn logits into mask and probability of the picture's size; the caller takes the largest component.

    ::

        (1, 1, rows, columns) -- sigmoid -- resize back --+-- probability
                                                          +-- threshold -- mask

    Args:
        spatial_size: rows and columns of the network's output.
        threshold: probability from which a pixel is lesion.
    """

    def __init__(self, spatial_size: Sequence[int], threshold: float) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(list(spatial_size), dtype=torch.int64), persistent=False)
        self.threshold = threshold

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the mask, uint8 ``(H, W)``, and the probability, float32 ``(H, W)``."""
        probability = resize(torch.sigmoid(logits[0]), self.size, target)[0]  # type: ignore
        return (probability >= self.threshold).to(torch.uint8), probability


class EndToEnd(nn.Module):
    """Picture in, mask and probability out: for TorchScript only, the other formats are joined from their parts."""

    def __init__(self, network: nn.Module, spatial_size: Sequence[int], threshold: float) -> None:
        super().__init__()
        self.before = Before(spatial_size)
        self.network = network
        self.after = After(spatial_size, threshold)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute mask and probability of a uint8 picture ``(H, W, 3)``."""
        pixels, size = self.before(image)
        mask, probability = self.after(self.network(pixels), size)
        return mask, probability


class ScoredEndToEnd(nn.Module):
    """Like :class:`EndToEnd`, for a network that also gives scores; TorchScript needs a separate class."""

    def __init__(self, network: nn.Module, spatial_size: Sequence[int], threshold: float) -> None:
        super().__init__()
        self.before = Before(spatial_size)
        self.network = network
        self.after = After(spatial_size, threshold)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute mask, probability and scores of a uint8 picture ``(H, W, 3)``."""
        pixels, size = self.before(image)
        logits, scores = self.network(pixels)
        mask, probability = self.after(logits, size)
        return mask, probability, scores


class BlueFirst(nn.Module):
    """Give RGB to a network that takes BGR."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the network's output for an RGB picture."""
        return self.network(image.flip(1))  # type: ignore[no-any-return]


def takes_rgb(network: nn.Module, channel_order: str) -> nn.Module:
    """Give the network, wrapped to swap channels if it takes BGR."""
    return BlueFirst(network) if channel_order == "bgr" else network
