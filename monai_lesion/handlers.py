"""Training handlers that MONAI and ignite lack; reached from bundle configs alone.

All but :class:`StopOnBadLoss` work once an epoch and read the validation loss, so they belong after the
``ValidationHandler`` in the trainer's list.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.contrib.handlers.tqdm_logger import ProgressBar
from ignite.engine import Engine, Events
from monai.transforms import Randomizable

from monai_lesion.errors import CheckpointError, InputError

logger = logging.getLogger(__name__)


def val_loss(engine: Engine) -> float:
    """The validation loss of an evaluator, for ``LrScheduleHandler(step_transform=...)``."""
    return float(engine.state.metrics["val_loss"])


class SeedEveryEpoch:
    """Reseed torch and the dataset's transforms from (seed, epoch), so that a resumed run repeats an unbroken one.

    MONAI's transforms own their random state, which no checkpoint holds.

    Args:
        seed: of the whole training.
        dataset: the training dataset; its ``transform`` is reseeded.
    """

    def __init__(self, seed: int, dataset: Any) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Reseed for the epoch that starts."""
        seed = (self.seed * 100_003 + engine.state.epoch) % 2**31
        torch.manual_seed(seed)
        transform = getattr(self.dataset, "transform", None)
        if isinstance(transform, Randomizable):
            transform.set_random_state(seed=seed)


class StopOnBadLoss:
    """Raise when the training loss is not finite, naming the images of the batch.

    ignite's ``TerminateOnNan`` ends the run as if it had succeeded.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the loss of one iteration."""
        loss = float(engine.state.output[0]["loss"])
        if not math.isfinite(loss):
            files = [str(item["image"].meta.get("filename_or_obj", "?")) for item in engine.state.output]
            raise InputError(
                f"epoch {engine.state.epoch}, iteration {engine.state.iteration}",
                "the training loss must be finite",
                got=f"{loss} on {', '.join(files)}",
                fix="Look at these images and labels, lower --learning_rate, or train with --amp false",
            )


class EarlyStop:
    """Stop when the validation loss has not fallen for ``patience`` epochs, never before ``min_epochs``.

    MONAI's ``EarlyStopHandler`` keeps no state, so that patience would restart on resume, and knows no minimum.

    Args:
        evaluator: the engine whose ``val_loss`` is followed.
        patience: epochs without a fall.
        min_epochs: epochs that are always run.

    Source:
        Li et al., ISBI 2021, section 4.1 (15 epochs) and the authors' code (not before epoch 50).
    """

    def __init__(self, evaluator: Engine, *, patience: int = 15, min_epochs: int = 50) -> None:
        if patience < 1:
            raise InputError("patience", "must be positive", got=patience)
        self.evaluator = evaluator
        self.patience = patience
        self.min_epochs = min_epochs
        self.best = math.inf
        self.bad_epochs = 0

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Count one epoch."""
        loss = val_loss(self.evaluator)
        self.bad_epochs = 0 if loss < self.best else self.bad_epochs + 1
        self.best = min(loss, self.best)
        if self.bad_epochs >= self.patience and engine.state.epoch >= self.min_epochs:
            logger.info("stopped: the validation loss has not fallen for %d epochs", self.bad_epochs)
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"best": self.best, "bad_epochs": self.bad_epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self.best, self.bad_epochs = float(state["best"]), int(state["bad_epochs"])


class Checkpoints:
    """Keep the best network and everything that a killed training needs to go on.

    ``model.pt`` is ``{"model": state_dict}`` of the lowest validation loss; ``last.pt`` holds all ``objects``, the
    epoch and the best loss so far. Both are written beside and renamed. MONAI's ``CheckpointSaver`` writes in place
    and forgets its best score, so that a resumed run would overwrite a better network.

    Args:
        ckpt_dir: folder of both files.
        evaluator: the engine whose ``val_loss`` is followed.
        network: the network of ``model.pt``.
        objects: further things with a ``state_dict``: optimizer, scheduler, early stop.
        resume: go on from ``last.pt`` where there is one.

    Raises:
        CheckpointError: when ``last.pt`` belongs to another training or is damaged.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        evaluator: Engine,
        network: torch.nn.Module,
        objects: Mapping[str, Any],
        *,
        resume: bool = False,
    ) -> None:
        self.best_path = Path(ckpt_dir) / "model.pt"
        self.last_path = Path(ckpt_dir) / "last.pt"
        self.evaluator = evaluator
        self.network = network
        self.objects = {"network": network, **objects}
        self.resume = resume
        self.best = math.inf

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def load(self, engine: Engine) -> None:
        """Take up ``last.pt``."""
        if not (self.resume and self.last_path.exists()):
            return
        fix = "Train without --resume, or name another --ckpt_dir"
        try:
            state = torch.load(self.last_path, map_location="cpu", weights_only=True)
            for name, item in self.objects.items():
                item.load_state_dict(state[name])
            self.best = float(state["best"])
            engine.state.epoch = int(state["epoch"])
            engine.state.iteration = int(state["iteration"])
        except Exception as error:  # torch raises many kinds; each means the same to the user
            reason = str(error).splitlines()[0]
            raise CheckpointError(self.last_path, "must belong to this training", got=reason, fix=fix) from error
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.last_path)

    def __call__(self, engine: Engine) -> None:
        """Save after one epoch."""
        loss = val_loss(self.evaluator)
        if loss < self.best:
            self.best = loss
            _save({"model": self.network.state_dict()}, self.best_path)
        state = {name: item.state_dict() for name, item in self.objects.items()}
        progress = {"epoch": engine.state.epoch, "iteration": engine.state.iteration, "best": self.best}
        _save({**state, **progress}, self.last_path)


def _save(state: Mapping[str, Any], path: Path) -> None:
    """Write beside, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


class MetricsLog:
    """Append one row an epoch to a CSV file: losses, validation metrics, learning rate, seconds, images a second.

    A resumed run drops the rows after the epoch it goes on from.

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
        row = {
            "epoch": engine.state.epoch,
            "train_loss": f"{sum(self.losses) / len(self.losses):.6f}",
            **{name: f"{float(value):.6f}" for name, value in self.evaluator.state.metrics.items()},
            "learning_rate": f"{self.optimizer.param_groups[0]['lr']:.3g}",
            "seconds": f"{seconds:.1f}",
            "images_per_second": f"{self.images / seconds:.2f}",
        }
        rows: list[dict[str, str]] = []
        if (self.append or engine.state.epoch > 1) and self.path.exists():
            with self.path.open(newline="") as file:
                rows = [old for old in csv.DictReader(file) if int(old["epoch"]) < engine.state.epoch]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, row])
        os.replace(partial, self.path)
        text = ", ".join(f"{name} {value}" for name, value in row.items())
        logger.info(text)


class Progress(ProgressBar):  # type: ignore[misc]
    """One bar over the whole training, with the time left; ignite's own bar starts anew each epoch."""

    def attach(self, engine: Engine, *args: Any, **kwargs: Any) -> None:
        """Attach to the trainer."""
        super().attach(
            engine,
            output_transform=lambda output: {"loss": float(output[0]["loss"])},
            event_name=Events.ITERATION_COMPLETED,
            closing_event_name=Events.COMPLETED,
        )
