"""What follows a training from epoch to epoch: bad losses, statistics, early stop."""

from __future__ import annotations

import logging
import math

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_lesion.errors import InputError

logger = logging.getLogger(__name__)


def val_loss(engine: Engine) -> float:
    """The validation loss of an evaluator, for ``LrScheduleHandler(step_transform=...)``.

    With several processes it is the first one's, so that no last bit can let one stop and another wait for it.

    Raises:
        InputError: when the loss of any image is not finite; MONAI's mean leaves those out, and a network that is
            broken altogether would have a loss of 0.
    """
    details = getattr(engine.state, "metric_details", {}).get("val_loss")
    losses = torch.as_tensor(engine.state.metrics["val_loss"] if details is None else details, dtype=torch.float32)
    if not bool(torch.isfinite(losses).all()):
        bad = int((~torch.isfinite(losses)).sum())
        fix = "Lower --learning_rate, or train with --amp false; --resume true continues from the epoch before"
        raise InputError("the validation loss", "must be finite", got=f"{bad} of {losses.numel()} not", fix=fix)
    loss = float(engine.state.metrics["val_loss"])
    return float(idist.broadcast(loss, src=0)) if idist.get_world_size() > 1 else loss


def validated(evaluator: Engine, trainer: Engine) -> bool:
    """Whether the trainer's epoch was validated; with a ``val_interval`` above 1 not each is."""
    return bool(evaluator.state.epoch == trainer.state.epoch)


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
                fix="Check these images and labels, lower --learning_rate, or train with --amp false",
            )


class AverageStatistics:
    """Average the running statistics of batch normalisation over the processes, before each validation.

    Each process has seen only its own part of the batches. In one process nothing happens.

    Args:
        network: what is validated and kept.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self) -> None:
        """Average them."""
        processes = idist.get_world_size()
        statistics = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
        if processes == 1 or not statistics:
            return
        mean = idist.all_reduce(torch.nn.utils.parameters_to_vector(statistics)) / processes
        torch.nn.utils.vector_to_parameters(mean, statistics)


class EarlyStop:
    """Stop when the validation loss has not fallen for ``patience`` epochs, never before ``min_epochs``.

    MONAI's ``EarlyStopHandler`` keeps no state, so that patience would restart on resume, and knows no minimum. This
    one counts in ``engine.state.early_stop``, one of ignite's user keys: what saves the trainer saves the count.

    Args:
        evaluator: the engine whose ``val_loss`` is followed.
        patience: epochs without a fall; only those that are validated count.
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

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.state_dict_user_keys.append("early_stop")
        engine.state.early_stop = {"best": math.inf, "bad_epochs": 0}
        engine.add_event_handler(Events.EPOCH_STARTED, self._stay_stopped)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _stay_stopped(self, engine: Engine) -> None:
        """A training that had stopped does not go on when it is resumed."""
        if engine.state.early_stop["bad_epochs"] >= self.patience and engine.state.epoch > self.min_epochs:
            logger.info("this training stopped early; raise --patience to continue it")
            engine.terminate()

    def __call__(self, engine: Engine) -> None:
        """Count one epoch."""
        if not validated(self.evaluator, engine):
            return
        loss, count = val_loss(self.evaluator), engine.state.early_stop
        bad_epochs = 0 if loss < count["best"] else count["bad_epochs"] + 1
        engine.state.early_stop = {"best": min(loss, count["best"]), "bad_epochs": bad_epochs}
        if bad_epochs >= self.patience and engine.state.epoch >= self.min_epochs:
            logger.info("stopped: the validation loss has not fallen for %d validations", bad_epochs)
            engine.terminate()
