"""Several networks as one: the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from monai_lesion.errors import InputError

_SMALLEST = 1e-6  # probability that stays off 0 and 1, which have no logit in float32


class Ensemble(nn.Module):
    """The mean of the probabilities of several networks, as logits.

    ::

        +-- network 1 -- sigmoid --+
        +-- network 2 -- sigmoid --+-- mean -- logit --
        +-- ...                    |

    Scores beside the logits, as of :class:`~monai_lesion.networks.TrustHeads`, are averaged as they are.

    Args:
        networks: the networks; all take the same input, and return scores or none.

    Shape:
        - input: ``(B, C, H, W)``
        - output: logits ``(B, 1, H, W)``, and the scores ``(B, S)`` where the networks have them

    Raises:
        InputError: when there are none.

    Example:
        >>> from monai_lesion.networks import LightUNet
        >>> Ensemble([LightUNet(width=0.0625) for _ in range(2)]).eval()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 1, 32, 32])
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        if not len(self.networks):
            raise InputError("networks", "must be at least one network", got="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Average the outputs."""
        outputs = [network(x) for network in self.networks]
        scored = isinstance(outputs[0], (tuple, list))
        logits = [output[0] if scored else output for output in outputs]
        mean = torch.stack([torch.sigmoid(each) for each in logits]).mean(0).clamp(_SMALLEST, 1 - _SMALLEST)
        joined = torch.log(mean) - torch.log1p(-mean)
        if not scored:
            return joined
        return joined, torch.stack([output[1] for output in outputs]).mean(0)
