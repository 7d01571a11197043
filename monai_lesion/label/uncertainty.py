"""Measure how uncertain a network is about a picture, by how much dropout changes its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import InputError

Maps = Callable[[torch.Tensor, nn.Module], torch.Tensor]

ENTROPY = "epistemic_entropy"  # where MONAI Label keeps scores
DOUBT = ("decision", "trust", ENTROPY)  # what says how far an image's mask is to be believed


@torch.no_grad()
def dropout_maps(
    network: nn.Module, image: torch.Tensor, *, passes: int = 5, infer: Maps | None = None
) -> torch.Tensor:
    """Compute probability maps under dropout; batch normalisation and the rest stay as in inference.

    Args:
        network: returns logits ``(B, 1, H, W)``; it is left in evaluation mode.
        image: one picture ``(1, C, H, W)``.
        passes: number of maps.
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
    """Compute the entropy of each pixel, in bits: 0 where the network is certain, 1 at a probability of one half.

    Example:
        >>> entropy(torch.tensor([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    nats: torch.Tensor = torch.special.entr(probability) + torch.special.entr(1 - probability)
    return nats / math.log(2)


def uncertainty(maps: torch.Tensor) -> float:
    """Score how uncertain a network is: the entropy of the mean map per pixel of the expected lesion.

    It is divided by the expected area, because an uncertain edge matters more for a small lesion, as an error does for
    its Dice.

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


def doubt(known: Mapping[str, Any]) -> tuple[int, float]:
    """Order images, the one whose mask is least to be believed first.

    First come those whose decision is "doubtful" or "nothing found", then the others with a trust, both by trust; then
    those with a score, the most uncertain first; then the rest.

    Args:
        known: what the server keeps about an image: ``decision``, ``trust`` and ``epistemic_entropy``, if anything.

    Example:
        >>> images = [{}, {"epistemic_entropy": 2.0}, {"epistemic_entropy": 3.0}, {"trust": 0.9}, {"trust": 0.4}]
        >>> sorted([*images, {"decision": "doubtful", "trust": 0.6}], key=doubt)[:3]
        [{'decision': 'doubtful', 'trust': 0.6}, {'trust': 0.4}, {'trust': 0.9}]
    """
    decision, trust, score = (known.get(key) for key in DOUBT)
    if decision not in (None, "lesion"):
        return 0, 0.0 if trust is None else float(trust)
    if trust is not None:
        return 1, float(trust)
    return (3, 0.0) if score is None else (2, -float(score))
