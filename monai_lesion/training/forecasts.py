"""Say after the first steps of a training what the whole will take, and what would be faster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Engine, Events

from monai_lesion.training.processes import leads

logger = logging.getLogger(__name__)

LONG = 2 * 3600.0  # seconds from which faster ways are named
STEPS, PATIENCE = (
    8,
    60.0,
)  # steps that are measured after the first, or fewer when they take longer than so many seconds
VALIDATION = 1 / 3  # of the cost of a training picture: a validated one has no backward pass
FASTER = """faster: --spatial_size '[128,128]' (a quarter of the time); overlays/pocket.json (a small network at \
160 x 160); overlays/converge.json with --max_epochs 20 (another recipe, of known length); a GPU"""


class Forecast:
    """Log once what a step takes and what the whole training will, and faster ways when that is more than two hours.

    The first step is left out: it compiles kernels and fills memory.

    Args:
        evaluator: the engine of the validation.
        val_interval: epochs between two validations.
        min_epochs: epochs before which the early stop does not end the training.
        spatial_size: rows and columns of the pictures.
        sizes: ``[[epoch, [rows, columns]], ...]`` of a training with growing pictures.
        clock: seconds.
    """

    def __init__(
        self,
        evaluator: Engine,
        *,
        val_interval: int = 1,
        min_epochs: int | None = None,
        spatial_size: Sequence[int] = (1, 1),
        sizes: Sequence[Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.evaluator = evaluator
        self.val_interval = val_interval
        self.min_epochs = min_epochs
        self.spatial_size = spatial_size
        self.sizes = list(sizes or [])
        self.clock = clock
        self.began: float | None = None
        self.steps = 0
        self.told = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        if leads():
            engine.add_event_handler(Events.EPOCH_STARTED, self._pause)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _pause(self) -> None:
        """What was measured does not go over the validation."""
        self.began, self.steps = None, 0

    def __call__(self, engine: Engine) -> None:
        """Count a step; tell when enough are counted, or the epoch ends."""
        if self.told:
            return
        if self.began is None:
            self.began = self.clock()
            return
        self.steps += 1
        seconds = self.clock() - self.began
        last = engine.state.iteration % (engine.state.epoch_length or 1) == 0
        if self.steps >= STEPS or seconds >= PATIENCE or last:
            self.told = True
            self._tell(engine, seconds / self.steps)

    def _tell(self, engine: Engine, step: float) -> None:
        state = engine.state
        epochs, length = int(state.max_epochs or 1), int(state.epoch_length or 1)
        whole = self._seconds(engine, step, range(state.epoch - 1, epochs))
        text = f"a step takes {duration(step)}: the {epochs} epochs of {length} steps will take about {duration(whole)}"
        if self.min_epochs is not None and state.epoch <= self.min_epochs < epochs:
            least = self._seconds(engine, step, range(state.epoch - 1, self.min_epochs))
            text += f", or from {duration(least)} on where it stops early"
        logger.info("%s", text)
        if whole > LONG:
            logger.info("%s", FASTER)

    def _seconds(self, engine: Engine, step: float, epochs: range) -> float:
        """Time for some epochs, in proportion to their pixels and validations."""
        now = self._pixels(epochs.start)
        steps = sum(self._pixels(epoch) / now for epoch in epochs) * int(engine.state.epoch_length or 1)
        validations = len(epochs) / max(self.val_interval, 1) * self._validation(engine)
        return step * (steps + validations * self._full() / now)

    def _validation(self, engine: Engine) -> float:
        """Cost of a validation, in training steps of pictures of full size."""
        loader, own = getattr(self.evaluator.state, "dataloader", None), engine.state.dataloader
        loader = loader if loader is not None else getattr(self.evaluator, "data_loader", None)
        pictures, batch = len(getattr(loader, "dataset", ())), getattr(own, "batch_size", None) or 1
        return VALIDATION * pictures / batch

    def _full(self) -> float:
        return float(self.spatial_size[0] * self.spatial_size[1])

    def _pixels(self, epoch: int) -> float:
        size = next((size for start, size in reversed(self.sizes) if start <= epoch), self.spatial_size)
        return float(size[0] * size[1])


def duration(seconds: float) -> str:
    """Seconds in words of two figures.

    Example:
        >>> duration(0.25), duration(57), duration(3 * 60), duration(5 * 3600 + 40 * 60), duration(80 * 3600)
        ('0.25 s', '57 s', '3 min', '5 h 40 min', '3 days 8 h')
    """
    if seconds < 90:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"
