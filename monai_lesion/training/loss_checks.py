"""Does the loss learn from all that the training gives it?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from monai_lesion.errors import InputError

logger = logging.getLogger(__name__)

FIX = "Train with overlays/converge.json"


class CheckLoss:
    """Refuse teachers or scores that the loss does not take; warn once of pictures that teach it nothing.

    The paper's Dice loss has no smoothing term: where the label is empty it is 1 whatever the network draws. A picture
    without a lesion moves nothing but the statistics of batch normalisation.

    Args:
        loss: the training's. One with a ``distillation`` takes teachers' masks, one with a ``trust`` takes scores.
        teachers: whether there are any.

    Raises:
        InputError: when the training begins, or after its first network run.
    """

    def __init__(self, loss: Callable[..., torch.Tensor], *, teachers: bool = False) -> None:
        self.loss = loss
        self.teachers = teachers
        self.warned = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.STARTED, self.check_teachers)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self.check_scores)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.look_for_empty)

    def check_teachers(self) -> None:
        """Refuse teachers that nobody listens to."""
        if self.teachers and not hasattr(self.loss, "distillation"):
            rule = "need a loss that learns from them"
            raise InputError("--teachers", rule, got=type(self.loss).__name__, fix=FIX)

    def check_scores(self, engine: Engine) -> None:
        """Refuse scores that nothing trains."""
        if isinstance(engine.state.output["pred"], (tuple, list)) and not hasattr(self.loss, "trust"):
            rule = "returns scores beside the mask, which need a loss that trains them"
            raise InputError("the network", rule, got=type(self.loss).__name__, fix=FIX)

    def look_for_empty(self, engine: Engine) -> None:
        """Look at the labels of one batch, in the first epoch and until there is an empty one."""
        if self.warned or engine.state.epoch > 1:
            return
        empty = [item for item in engine.state.output if not bool(item["label"][:1].any())]
        if empty:
            self.warned = True
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
        "%s shows no lesion, and %s learns nothing from such pictures: they move the statistics of batch normalisation "
        "alone. %s, whose loss learns from them, or leave them out of the training list",
        file,
        type(loss).__name__,
        FIX,
    )
