"""What a training or an evaluation tells TensorBoard and MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler, TensorBoardStatsHandler, from_engine

from monai_lesion.errors import InputError
from monai_lesion.images.overlays import draw_overlay
from monai_lesion.networks.checkpoints import describe
from monai_lesion.training.epochs import validated
from monai_lesion.training.processes import leads

EXTRA = "pip install 'monai-lesion[tracking]'"


class TensorBoard:
    """Losses, validation metrics, learning rate, and overlays of the first validation images, for TensorBoard.

    MONAI's ``TensorBoardStatsHandler`` writes the losses and metrics; it knows neither learning rate nor contours, and
    opens its file before the run. Of several processes the first writes.

    Args:
        log_dir: folder of TensorBoard's files.
        evaluator: the engine of the validation; its output has ``image``, ``label`` and ``mask``.
        optimizer: the learning rate is its first group's.
        overlays: how many validation images are drawn after each validation, reference red, prediction green.
    """

    def __init__(
        self, log_dir: str | Path, evaluator: Engine, optimizer: torch.optim.Optimizer, *, overlays: int = 4
    ) -> None:
        if find_spec("tensorboard") is None:
            raise InputError("--tensorboard", "needs the package tensorboard", got="no such package", fix=EXTRA)
        self.log_dir = Path(log_dir)
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.overlays = overlays
        self.drawn: list[Any] = []
        self.writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        if leads():
            engine.add_event_handler(Events.STARTED, self._open)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            self.evaluator.add_event_handler(Events.EPOCH_STARTED, self.drawn.clear)
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._draw)

    def _open(self, engine: Engine) -> None:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.log_dir))
            loss = from_engine(["loss"], first=True)
            stats = TensorBoardStatsHandler(self.writer, epoch_log=False, tag_name="train_loss", output_transform=loss)
            stats.attach(engine)
            TensorBoardStatsHandler(self.writer, iteration_log=False).attach(self.evaluator)

    def _draw(self, engine: Engine) -> None:
        for item in engine.state.output[: self.overlays - len(self.drawn)]:
            picture = (item["image"] * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            label, pred = (item[key][0].cpu().numpy() > 0 for key in ("label", "mask"))
            self.drawn.append(draw_overlay(picture, label=label, pred=pred))

    def __call__(self, engine: Engine) -> None:
        """Write the learning rate and the overlays of one epoch."""
        epoch = engine.state.epoch
        self.writer.add_scalar("learning_rate", self.optimizer.param_groups[0]["lr"], epoch)
        for number, picture in enumerate(self.drawn if validated(self.evaluator, engine) else [], 1):
            self.writer.add_image(f"validation/{number}", picture, epoch, dataformats="HWC")
        self.writer.flush()


def untracked() -> bool:
    """Whether this process leaves tracking to another; MONAI asks the config's ``is_not_rank0`` under ``--tracking``.

    Only then is it called, so that it also sees that MLflow is there, and that MLflow reports nothing to its makers.

    Raises:
        InputError: when MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise InputError("--tracking mlflow", "needs the package mlflow", got="no such package", fix=EXTRA)
    stop_reports()
    return not leads()


def stop_reports() -> None:
    """Switch MLflow's usage reports off, which are on by default; it is imported by MONAI before this is asked."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if find_spec("mlflow.telemetry") is not None:
        from mlflow.telemetry.client import set_telemetry_client

        set_telemetry_client()


class TrackedRun:
    """Parameters, the config, ``model.pt`` and ``metrics.csv`` for the run that MONAI's ``MLFlowHandler`` opens.

    MONAI's ``--tracking mlflow`` adds that handler to the trainer; it records metrics, no other parameters than the
    epochs, and misses the config that MONAI 1.6.1 has written where ``output_dir`` is not an expression. Without
    ``--tracking`` nothing happens.

    Args:
        ckpt_dir: folder of ``model.pt`` and ``metrics.csv``.
        output_dir: folder of the config that MONAI writes, ``config_DATE_TIME.json``.
        network: named among the parameters.
        parameters: the settings to record.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        output_dir: str | Path,
        *,
        network: torch.nn.Module,
        parameters: Mapping[str, Any],
    ) -> None:
        self.ckpt_dir = Path(ckpt_dir)
        self.output_dir = Path(output_dir)
        self.network = network
        self.parameters = parameters

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, before MONAI's handler, which closes the run."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def __call__(self, engine: Engine) -> None:
        """Record the parameters, in the first epoch of this process."""
        tracker = _tracker(engine)
        if tracker is not None:
            network = describe(self.network.state_dict())
            _record(tracker, {**self.parameters, "network": network, "processes": idist.get_world_size()}, [])
        engine.remove_event_handler(self, Events.EPOCH_STARTED)

    def finish(self, engine: Engine) -> None:
        """Record the files."""
        tracker = _tracker(engine)
        if tracker is not None:
            files = [self.ckpt_dir / "model.pt", self.ckpt_dir / "metrics.csv", *_config(self.output_dir)]
            _record(tracker, {}, files)


def track_evaluation(engine: Engine, output_dir: Path, parameters: Mapping[str, Any]) -> None:
    """Parameters, config, tables and the overlays' sheet for the run that MONAI's ``MLFlowHandler`` opens.

    The run is closed: MONAI leaves that of an evaluation open, and the next one would be written into it.

    Args:
        engine: the evaluator, when its metrics are complete.
        output_dir: folder of what the evaluation wrote.
        parameters: what was evaluated.
    """
    tracker = _tracker(engine)
    if tracker is not None:
        names = ("summary.json", "per_image.csv", "per_case.csv", "overlays/sheet.png")
        _record(tracker, parameters, [*(output_dir / name for name in names), *_config(output_dir)])
        tracker.close()


def _config(folder: Path) -> list[Path]:
    """The last config that MONAI wrote, ``config_DATE_TIME.json``."""
    return sorted(folder.glob("config_*.json"))[-1:]


def _record(tracker: MLFlowHandler, parameters: Mapping[str, Any], files: Iterable[Path]) -> None:
    new = dict(parameters)
    tracker._delete_exist_param_in_dict(new)
    tracker._log_params(new)
    for file in files:
        if file.is_file():
            tracker.client.log_artifact(tracker.cur_run.info.run_id, str(file))


def _tracker(engine: Engine) -> Any:
    """MONAI's MLflow handler of an engine, which its config does not name."""
    handlers = (handler for event in engine._event_handlers.values() for handler, *_ in event)
    owners = (getattr(handler, "__self__", None) for handler in handlers)
    return next((owner for owner in owners if isinstance(owner, MLFlowHandler)), None)
