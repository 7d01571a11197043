"""Show the progress of a run, and log its metrics."""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_lesion.files import replacing
from monai_lesion.machine.progress_bars import bar
from monai_lesion.training.epochs import validated
from monai_lesion.training.processes import leads

logger = logging.getLogger(__name__)


class MetricsLog:
    """Append one row per epoch to a CSV file, and log it: losses, metrics, learning rate, seconds, images per second.

    The metrics of an epoch that is not validated stay empty. A resumed run drops the rows after the epoch it goes on
    from. With several processes, the first writes for all.

    Args:
        path: the CSV file.
        evaluator: the engine whose metrics are written.
        optimizer: the learning rate is its first group's.
        append: keep the rows of earlier epochs, for a resumed run.
    """

    def __init__(
        self, path: str | Path, evaluator: Engine, optimizer: torch.optim.Optimizer, *, append: bool = False
    ) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.append = append
        self.losses: list[float] = []
        self.images = 0
        self.start = 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self.losses, self.images, self.start = [], 0, time.perf_counter()

    def _count(self, engine: Engine) -> None:
        self.losses.append(float(engine.state.output[0]["loss"]))
        self.images += len(engine.state.output)

    def __call__(self, engine: Engine) -> None:
        """Write the row of one epoch."""
        seconds = time.perf_counter() - self.start
        loss, images = sum(self.losses) / len(self.losses), self.images
        if (processes := idist.get_world_size()) > 1:
            loss, images = idist.all_reduce(loss) / processes, int(idist.all_reduce(images))
        if not leads():
            return
        metrics = self.evaluator.state.metrics if validated(self.evaluator, engine) else {}
        row = {
            "epoch": engine.state.epoch,
            "train_loss": f"{loss:.6f}",
            **{name: f"{float(value):.6f}" for name, value in metrics.items()},
            "learning_rate": f"{self.optimizer.param_groups[0]['lr']:.3g}",
            "seconds": f"{seconds:.1f}",
            "images_per_second": f"{images / seconds:.2f}",
        }
        told = ", ".join(f"{name} {float(value):.4f}" for name, value in [("train_loss", loss), *metrics.items()])
        logger.info("epoch %d of %d: %s, %.0f s", engine.state.epoch, engine.state.max_epochs, told, seconds)
        rows: list[dict[str, str]] = []
        if (self.append or engine.state.epoch > 1) and self.path.exists():
            with self.path.open(newline="") as file:
                rows = [old for old in csv.DictReader(file) if int(old["epoch"]) < engine.state.epoch]
        names = max([list(row), *map(list, rows)], key=len)
        with replacing(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, row])


class Progress:
    """One bar over the whole run with the time left; ignite's own bar starts anew each epoch.

    Of several processes the first shows it.

    Args:
        title: text before the bar.
    """

    def __init__(self, title: str = "training") -> None:
        self.title = title
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator."""
        if not leads():
            return
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        state = engine.state
        total = state.max_epochs * state.epoch_length
        self.bar = bar(title=self.title, unit="it", total=total, initial=state.iteration)

    def __call__(self, engine: Engine) -> None:
        """Move on by one iteration."""
        state = engine.state
        loss = state.output[0].get("loss") if state.output else None
        if loss is not None:
            self.bar.set_postfix_str(f"epoch {state.epoch}/{state.max_epochs}, loss {float(loss):.3f}", refresh=False)
        self.bar.update()

    def _close(self) -> None:
        self.bar.close()
