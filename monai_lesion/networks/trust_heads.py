"""Two more outputs for any network that say how far to trust its mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.contracts import MIN_SIZE, SegmentationNetwork

SCORES = ("presence", "quality")
NUMBERS = 8


class TrustHeads(nn.Module):
    """A network that scores its own mask: does the picture show a lesion, and how good is the mask?

    ::

        image -- encode -- deepest features --+-- decode ---------------- logits
                                              |                              |
                                              +-- mean, max, mean in mask ---+-- numbers of the map
                                                            |                        |
                                                            +-- presence, quality ---+

    Both scores are logits. The sigmoid of the first is the probability that the picture shows a lesion; the sigmoid of
    the second is the estimated Dice of the mask with its reference. They do not change the mask: they pass no gradient
    to the network, unless you let the encoder learn from the presence.

    Args:
        network: any network of one output channel that takes images.
        hidden: width of the layer between summary and score.
        dropout: probability of dropping a value of that layer.
        presence_gradient: whether the encoder also learns from the presence.

    Shape:
        - input: as the network's
        - output: logits ``(B, 1, H, W)`` and scores ``(B, 2)``, see :data:`SCORES`

    Raises:
        InputError: for a network of volumes or of several channels, and arguments out of range.

    Example:
        >>> from monai_lesion.networks import LightUNet
        >>> logits, scores = TrustHeads(LightUNet(width=0.125))(torch.zeros(2, 3, 33, 47))
        >>> logits.shape, scores.shape
        (torch.Size([2, 1, 33, 47]), torch.Size([2, 2]))
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        *,
        hidden: int = 64,
        dropout: float = 0.2,
        presence_gradient: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(network, SegmentationNetwork):
            raise InputError("network", "must be a network of monai_lesion.networks", got=type(network).__name__)
        if network.spatial_dims != 2 or network.out_channels != 1:
            got = f"{network.out_channels} output channels in {network.spatial_dims} dimensions"
            raise InputError("network", "must make one map of an image", got=got)
        if not isinstance(hidden, int) or hidden < 1:
            raise InputError("hidden", "must be a positive integer", got=repr(hidden))
        if not 0 <= dropout < 1:
            raise InputError("dropout", "must be at least 0 and less than 1", got=dropout)
        self.network = network
        self.presence_gradient = presence_gradient
        self.spatial_dims, self.in_channels, self.out_channels = 2, network.in_channels, 1
        self.presence = ScoreHead(3 * network.deep_channels, hidden, dropout)
        self.quality = ScoreHead(3 * network.deep_channels, hidden, dropout)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Give the encoder parameters of the network."""
        return self.network.encoder_parameters()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits ``(B, 1, H, W)`` and scores ``(B, 2)`` of ``x`` ``(B, in_channels, H, W)``."""
        if not (torch.jit.is_scripting() or torch.jit.is_tracing()):  # type: ignore
            self.network.check(x)
        features = self.network.encode(x)
        logits = self.network.decode(features)
        deep = features[-1]
        # In float32: sums over a whole map go wrong in half precision.
        probability = logits.detach().float().sigmoid()
        numbers = map_numbers(probability).to(deep.dtype)
        summary = summarise(deep, probability.to(deep.dtype))
        stopped = summary.detach()
        presence = self.presence(summary if self.presence_gradient else stopped, numbers)
        return logits, torch.cat([presence, self.quality(stopped, numbers)], dim=1)


class ScoreHead(nn.Module):
    """Compute one score from the summary of the features and the numbers of the map.

    ::

        features -- layer norm -- linear --+
                                           + -- ReLU -- dropout -- linear -- score
        numbers ---------------- linear ---+

    Each input has its own layer, so that eight numbers start with as much weight as hundreds of channels.

    Args:
        channels: number of feature channels.
        hidden: width of the hidden layer.
        dropout: probability of dropping a value of the hidden layer.

    Shape:
        - input: ``(B, channels)`` and ``(B, 8)``
        - output: ``(B, 1)``
    """

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.features = nn.Linear(channels, hidden)
        self.numbers = nn.Linear(NUMBERS, hidden)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(hidden, 1)

    def forward(self, features: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Compute the score ``(B, 1)``."""
        hidden = F.relu(self.features(self.norm(features)) + self.numbers(numbers))
        return self.score(self.dropout(hidden))  # type: ignore[no-any-return]


def summarise(deep: torch.Tensor, probability: torch.Tensor, cell: int = MIN_SIZE) -> torch.Tensor:
    """Compute the mean, the maximum and the mean under the mask of each feature channel.

    Args:
        deep: features ``(B, C, h, w)``.
        probability: ``(B, 1, H, W)``.
        cell: side in pixels of the squares over which the probability is averaged first; it divides every stride of the
            features, and no picture is smaller.

    Returns:
        ``(B, 3 * C)``.
    """
    coarse = F.avg_pool2d(probability, cell)  # adaptive pooling would not leave PyTorch at any size
    weight = F.interpolate(coarse, size=deep.shape[2:], mode="bilinear", align_corners=False)
    under = (deep * weight).sum(dim=(2, 3)) / (weight.sum(dim=(2, 3)) + 1e-3)
    return torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3)), under], dim=1)


def map_numbers(probability: torch.Tensor) -> torch.Tensor:
    """Compute eight numbers that tell a clear map from a doubtful one.

    Args:
        probability: ``(B, 1, H, W)`` in float32.

    Returns:
        ``(B, 8)``: square roots of the picture's shares that the probability and the mask cover, largest probability,
        mean entropy (0 to 1) over the picture and over the area, mean probability within the mask, Dice of the
        probability with the mask, length of the outline relative to a disc of the same area.
    """
    p = probability.flatten(1)
    mask = (p > 0.5).to(p.dtype)
    pixels = p.shape[1]
    area, size, common = p.sum(dim=1), mask.sum(dim=1), (p * mask).sum(dim=1)
    clear = p.clamp(1e-6, 1 - 1e-6)
    entropy = -(clear * clear.log() + (1 - clear) * (1 - clear).log()).sum(dim=1) / 0.6931472
    across = (probability[:, :, :, 1:] - probability[:, :, :, :-1]).abs().flatten(1).sum(dim=1)
    down = (probability[:, :, 1:] - probability[:, :, :-1]).abs().flatten(1).sum(dim=1)
    outline = (across + down) / (2 * 3.1415927 * (area + 1)).sqrt() / 2
    return torch.stack(
        [
            (area / pixels).sqrt(),
            (size / pixels).sqrt(),
            p.amax(dim=1),
            entropy / pixels,
            entropy / (area + 1) / (1 + entropy / (area + 1)),
            common / (size + 1),
            2 * common / (area + size + 1),
            outline / (1 + outline),
        ],
        dim=1,
    )
