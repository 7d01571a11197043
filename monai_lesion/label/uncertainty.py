"""How unsure a network is of a picture: what its dropout changes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from monai_lesion.errors import InputError

Maps = Callable[[torch.Tensor, nn.Module], torch.Tensor]


@torch.no_grad()
def dropout_maps(
    network: nn.Module, image: torch.Tensor, *, passes: int = 5, infer: Maps | None = None
) -> torch.Tensor:
    """Probability maps under dropout; batch normalisation and all else stay as in inference.

    Args:
        network: gives logits ``(B, 1, H, W)``; left in evaluation mode.
        image: one picture ``(1, C, H, W)``.
        passes: how many maps.
        infer: calls the network, as ``infer(image, network)``; None calls it directly.

    Shape:
        - output: ``(passes, H, W)``

    Raises:
        InputError: when the network has no dropout.
    """
    network.eval()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0]
    if not layers:
        raise InputError("network_def", "must contain dropout to score uncertainty", got="none", fix="Set dropout")
    for layer in layers:
        layer.train()
    try:
        logits = [infer(image, network) if infer else network(image) for _ in range(passes)]
    finally:
        network.eval()
    return torch.sigmoid(torch.cat(logits)[:, 0].float())


def entropy(probability: torch.Tensor) -> torch.Tensor:
    """Entropy of each pixel, in bits: 0 where the network is sure, 1 at a probability of one half.

    Example:
        >>> entropy(torch.tensor([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    nats: torch.Tensor = torch.special.entr(probability) + torch.special.entr(1 - probability)
    return nats / math.log(2)


def uncertainty(maps: torch.Tensor) -> float:
    """One number of how unsure a network is: the entropy of the mean map for each pixel of the lesion expected.

    Divided by the expected area, for an unsure edge matters more to a small lesion: so does an error to its Dice.

    Args:
        maps: probabilities ``(N, H, W)`` of :func:`dropout_maps`.

    Example:
        >>> sure = torch.zeros(2, 8, 8)
        >>> sure[:, 2:6, 2:6] = 1
        >>> uncertainty(sure), uncertainty(torch.full((2, 8, 8), 0.5))
        (0.0, 1.939...)
    """
    mean = maps.float().mean(0)
    return float(entropy(mean).sum() / (mean.sum() + 1))
