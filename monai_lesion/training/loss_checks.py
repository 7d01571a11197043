"""Does the loss learn from all that the training gives it, and can the network take every batch?"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
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


class CheckLastBatch:
    """Refuse a last batch of one picture that batch normalisation cannot take, before an epoch is spent on the others.

    Where the pictures are small and the network deep, its middle is one pixel, and one value has no variance.

    Args:
        network: the network that is trained; a copy is run on one empty picture, only when the last batch has one.
        spatial_size: rows and columns of its input.
        in_channels: channels of its input.

    Raises:
        InputError: when the training begins.
    """

    def __init__(self, network: torch.nn.Module, *, spatial_size: Sequence[int], in_channels: int = 3) -> None:
        self.network = network
        self.shape = (1, in_channels, *spatial_size)

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at the loader, and run the network where its last batch has one picture."""
        loader = engine.state.dataloader
        batch, dropped = getattr(loader, "batch_size", None), getattr(loader, "drop_last", False)
        images = len(loader.sampler) if batch else 0  # type: ignore[union-attr]
        if not batch or (images % batch != 1 and batch != 1) or (dropped and images % batch):
            return
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            subject = copy.deepcopy(self.network).cpu().train()
            try:
                subject(torch.zeros(self.shape))
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                rows, columns = self.shape[2:]
                rule = (
                    f"leaves a batch of one picture, which this network cannot normalise at {rows} x {columns} pixels"
                )
                fix = "Take another --batch_size, a larger --spatial_size, or --train#dataloader#drop_last true"
                raise InputError(
                    "--batch_size", rule, got=f"{images} pictures in batches of {batch}", fix=fix
                ) from error
