"""The loss of the converging recipe: a mask, and how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy_of

from monai_lesion.errors import InputError


class MaskAndTrustLoss(nn.Module):
    r"""Cross-entropy and Dice of a mask; presence and quality where the network gives them; a teacher's mask too.

    ::

        logits -- cross-entropy + Dice with the label ----------- (1 - distillation) --\
          \------ cross-entropy + Dice with the teachers' mask -- distillation ---------+-- sum
        scores -- presence, quality ----------------------------- trust ---------------/

    Cross-entropy keeps the probabilities calibrated, and Dice weighs each picture equally whatever the lesion's size.
    Both learn from a picture without a lesion: the Dice loss has a smoothing term. Many such pictures at full weight
    teach the network to leave out faint lesions; where presence says that there is none, the mask need not.

    ``scores`` are two logits a picture. *Presence* learns whether the label has a pixel. *Quality* learns
    the Dice of the mask, as drawn at probability 0.5, with its label; no gradient flows from it into the mask. A mask
    on a picture without a lesion has the quality 0. Where neither label nor network draws anything there is no mask to
    judge, and the picture is left out of it.

    Args:
        smoothing: added to both sides of the Dice fraction, in pixels.
        cross_entropy: weight of the cross-entropy.
        dice: weight of the Dice loss.
        empty: weight of a picture without a lesion in the loss of the mask.
        trust: weight of presence and of quality; the heads are small, and the mask comes first.
        distillation: share of the teachers' mask, where there is one.

    Shape:
        - prediction: logits ``(B, 1, H, W)``, or these and scores ``(B, 2)``
        - target: ``(B, 1, H, W)`` label, or ``(B, 2, H, W)`` label and the teachers' probabilities
        - output: a scalar

    Raises:
        InputError: for a share outside 0 to 1, a negative weight, or no smoothing.

    Example:
        >>> label = torch.zeros(1, 1, 16, 16)
        >>> logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
        >>> MaskAndTrustLoss()(logits, label).backward()
        >>> bool((logits.grad > 0).all())  # a picture without a lesion pushes every pixel down
        True
    """

    def __init__(
        self,
        *,
        smoothing: float = 1.0,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        empty: float = 1.0,
        trust: float = 0.1,
        distillation: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= distillation <= 1:
            raise InputError("distillation", "must be a share from 0 to 1", got=distillation)
        if min(cross_entropy, dice, empty, trust) < 0:
            got = f"cross_entropy {cross_entropy}, dice {dice}, empty {empty}, trust {trust}"
            raise InputError("the weights of the loss", "must not be negative", got=got)
        if smoothing <= 0:
            rule, fix = "must be positive", "Without it a picture without a lesion has no gradient"
            raise InputError("smoothing", rule, got=smoothing, fix=fix)
        self.hard_dice = DiceLoss(sigmoid=True, smooth_nr=smoothing, smooth_dr=smoothing, reduction="none")
        # The plain Dice of a soft mask is lowest at a hard one; with squares it is lowest at the mask itself.
        self.soft_dice = DiceLoss(
            sigmoid=True, squared_pred=True, smooth_nr=smoothing, smooth_dr=smoothing, reduction="none"
        )
        self.cross_entropy, self.dice, self.empty = cross_entropy, dice, empty
        self.trust, self.distillation = trust, distillation

    def forward(self, prediction: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch."""
        logits, *others = (prediction,) if isinstance(prediction, torch.Tensor) else prediction
        label = target[:, :1].to(logits.dtype)
        weights = torch.where(label.flatten(1).any(1), 1.0, self.empty)
        loss = (weights * self._each(logits, label, self.hard_dice)).mean()
        if target.shape[1] > 1:
            taught = (weights * self._each(logits, target[:, 1:2].to(logits.dtype), self.soft_dice)).mean()
            loss = (1 - self.distillation) * loss + self.distillation * taught
        if others and self.trust:
            loss = loss + self.trust * trust_loss(others[0], logits, label)
        return loss

    def _each(self, logits: torch.Tensor, wanted: torch.Tensor, dice: DiceLoss) -> torch.Tensor:
        """Cross-entropy + Dice of each picture, ``(B,)``."""
        entropy = cross_entropy_of(logits, wanted, reduction="none").flatten(1).mean(1)
        overlap: torch.Tensor = dice(logits, wanted).flatten(1).mean(1)
        return self.cross_entropy * entropy + self.dice * overlap


def trust_loss(scores: torch.Tensor, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of presence and quality; see :class:`MaskAndTrustLoss`.

    Args:
        scores: logits of presence and quality, ``(B, 2)``.
        logits: the mask's, ``(B, 1, H, W)``.
        label: ``(B, 1, H, W)`` of 0 and 1.
    """
    with torch.no_grad():
        drawn = (logits > 0).flatten(1).to(label.dtype)
        wanted = label.flatten(1)
        total = drawn.sum(1) + wanted.sum(1)
        judged = total > 0
        quality = 2 * (drawn * wanted).sum(1) / total.clamp(min=1)
        present = (wanted.sum(1) > 0).to(label.dtype)
    loss = cross_entropy_of(scores[:, 0], present)
    each = cross_entropy_of(scores[:, 1], quality, reduction="none")
    return loss + (each * judged).sum() / judged.sum().clamp(min=1)
