"""A small network with scores beside its logits, for the tests of what takes such a network."""

from __future__ import annotations

import torch
from torch import nn

from monai_lesion.networks import LighterUNet


class ScoredNetwork(nn.Module):
    """Logits ``(B, 1, H, W)`` and scores ``(B, 2)``; its encoder counts as pre-trained."""

    def __init__(self) -> None:
        super().__init__()
        self.network = LighterUNet(group_size=1, width=0.25, dropout=0.0)
        self.scores = nn.Linear(1, 2)

    def encoder_parameters(self):
        return list(self.network.encoder.parameters())

    def forward(self, x):
        logits = self.network(x)
        return logits, self.scores(logits.detach().amax(dim=(2, 3)))


def scored_network() -> nn.Module:
    torch.manual_seed(0)
    return ScoredNetwork()
