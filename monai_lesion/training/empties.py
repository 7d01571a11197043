"""A word when pictures without a lesion teach nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class WarnOfEmptyPictures:
    """Warn once when the training meets a picture without a lesion and its loss has no gradient there.

    The paper's Dice loss has no smoothing term: where the label is empty it is 1 whatever the network draws. Such
    pictures move nothing but the statistics of batch normalisation.

    Args:
        loss: the training's.
    """

    def __init__(self, loss: Callable[..., torch.Tensor]) -> None:
        self.loss = loss
        self.seen = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the labels of one batch, in the first epoch and until there is an empty one."""
        if self.seen or engine.state.epoch > 1:
            return
        empty = [item for item in engine.state.output if not bool(item["label"][:1].any())]
        if empty:
            self.seen = True
            if not learns_from_empty(self.loss):
                _warn(self.loss, empty[0])


def learns_from_empty(loss: Callable[..., torch.Tensor]) -> bool:
    """Whether a loss has a gradient where the label is empty.

    Example:
        >>> from monai.losses import DiceLoss
        >>> learns_from_empty(DiceLoss(sigmoid=True, smooth_nr=0, smooth_dr=0))
        False
        >>> learns_from_empty(DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1))
        True
    """
    logits = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16).requires_grad_()
    with torch.enable_grad():
        value = loss(logits, torch.zeros(1, 1, 16, 16))
    if not value.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(value, logits)
    return bool(gradient.isfinite().all()) and bool(gradient.any())


def _warn(loss: object, item: Any) -> None:
    file = getattr(item["image"], "meta", {}).get("filename_or_obj", "a picture")
    logger.warning(
        "%s shows no lesion, and %s learns nothing from such pictures: they only shift the statistics of batch "
        "normalisation. Train with overlays/converge.json, whose loss learns from them, or leave them out of the "
        "training list",
        file,
        type(loss).__name__,
    )
