"""Save the best network, and everything that an interrupted training needs to continue."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_lesion.errors import CheckpointError
from monai_lesion.files import replacing
from monai_lesion.networks.definitions import definition_of
from monai_lesion.networks.recognition import describe
from monai_lesion.networks.weight_files import Weights, save_state
from monai_lesion.training.averaging import WeightAverage
from monai_lesion.training.epochs import val_loss, validated
from monai_lesion.training.locks import claim, release
from monai_lesion.training.precisions import Precision
from monai_lesion.training.processes import leads, refuse_processes
from monai_lesion.training.resumption import RATES, Start

logger = logging.getLogger(__name__)


class Checkpoints:
    """Save the best network and everything that an interrupted training needs to continue.

    ``model.pt`` is ``{"model": state_dict}`` of the lowest validation loss, with the ``network_def`` and ``input_size``
    that it was trained with, so that nobody need repeat them; ``last.ckpt`` holds these, all ``objects``, the epoch,
    the best loss so far and the trainer's ``state_dict_user_keys``, such as the early stop's count. Both are written
    beside and renamed. MONAI's ``CheckpointSaver`` writes in place and forgets its best score, so that a resumed run
    would overwrite a better network. Of several processes the first writes and all read; the files are the same
    whatever their number. ``last.ckpt`` is not named ``.pt`` because MONAI Label's own bundle app offers every ``.pt``
    beside ``model.pt`` as weights.

    Args:
        ckpt_dir: folder of both files.
        evaluator: the engine whose ``val_loss`` is followed.
        network: the network that is trained.
        objects: further things with a ``state_dict``: optimizer, scheduler.
        average: the moving average of the weights; its network is that of ``model.pt``. None keeps ``network`` itself.
        precision: precision of the training, so that it continues as it began.
        input_size: rows and columns of the network's input; None leaves them out.
        recipe: the settings that a training may or may not change when it goes on, see
            :class:`~monai_lesion.training.resumption.Start`.
        resume: continue from ``last.ckpt`` if there is one.

    Raises:
        CheckpointError: when ``last.ckpt`` belongs to another training, is damaged, or differs between processes, or
            when it cannot be written.
        InputError: when another process trains into the folder, or torchrun started several processes without
            ``multi_gpu_train.json``.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        evaluator: Engine,
        network: torch.nn.Module,
        objects: Mapping[str, Any],
        *,
        average: WeightAverage | None = None,
        precision: Precision | None = None,
        input_size: Sequence[int] | None = None,
        recipe: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.best_path = Path(ckpt_dir) / "model.pt"
        self.last_path = Path(ckpt_dir) / "last.ckpt"
        self.evaluator = evaluator
        self.kept = network if average is None else average.network
        self.objects = {"network": network, **objects}
        parts = {"average": average, "precision": precision}
        self.later = {name: part for name, part in parts.items() if part is not None}
        self.input_size = None if input_size is None else (int(input_size[0]), int(input_size[1]))
        self.network_def = definition_of(network, dropout=True)
        self.start = Start(recipe or {}, self.objects)
        self.resume = resume
        self.best = math.inf
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        refuse_processes("a training", unless_connected=True)
        engine.add_event_handler(Events.STARTED, self._claim)
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._tell)

    def _claim(self) -> None:
        if leads():
            claim(self.last_path.parent)

    def _tell(self, engine: Engine) -> None:
        if leads():
            release(self.last_path.parent)
        if leads() and self.best_epoch:
            told = engine.state.epoch, self.best_epoch, self.best
            logger.info("ended after epoch %d; the lowest validation loss was that of epoch %d, %.4f", *told)
        if self.best == math.inf:
            logger.warning("no epoch was validated, so there is no %s: lower --val_interval", self.best_path)

    def load(self, engine: Engine) -> None:
        """Take up ``last.ckpt``, unless the trainer has trained already, as in the rounds of a federated training."""
        if self.resume and engine.state.epoch == 0:
            if self.last_path.exists():
                self._take_up(engine)
            self._check_agreement(engine)

    def _check_agreement(self, engine: Engine) -> None:
        epochs = idist.all_gather(engine.state.epoch) if idist.get_world_size() > 1 else [engine.state.epoch]
        if len(set(epochs)) > 1:
            fix = "Name a --ckpt_dir on a file system that all machines share"
            got = f"the epochs {', '.join(map(str, epochs))}"
            raise CheckpointError(self.last_path, "must be the same file for each process", got=got, fix=fix)

    def _take_up(self, engine: Engine) -> None:
        fix = "Train without --resume, or name another --ckpt_dir"
        try:
            state = torch.load(self.last_path, map_location="cpu", weights_only=True)
            self._check_recipe(state)
            begun = state.get("start", {})
            self.start.check(begun)
            for name, item in self.objects.items():
                _check_kind(name, item, state[name])
                item.load_state_dict(state[name])
            # Files of before there were averages and chosen precisions have neither.
            for name, part in self.later.items():
                part.load_state_dict(state.get(name, {}))
            length = state.get("epoch_length", engine.state.epoch_length)
            if length != engine.state.epoch_length:
                raise ValueError(
                    f"epochs of {length} steps, here {engine.state.epoch_length}: other data or batch size"
                )
            if getattr(engine, "scaler", None) is not None and "scaler" in state:
                engine.scaler.load_state_dict(state["scaler"])
            for name in engine.state_dict_user_keys:
                setattr(engine.state, name, state[name])
            changed = self.start.apply(begun, self.objects)
            self.best, self.best_epoch = float(state["best"]), int(state.get("best_epoch", 0))
            engine.state.epoch = int(state["epoch"])
            engine.state.iteration = int(state["iteration"])
        except Exception as error:  # torch raises many kinds; each means the same to the user
            reason = str(error).splitlines()[0]
            raise CheckpointError(self.last_path, "must belong to this training", got=reason, fix=fix) from error
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.last_path)
        if changed:
            logger.info("changed from here on: %s", ", ".join(changed))
        if not begun:
            logger.info("an earlier version began this training: its learning rate and weight decay hold")

    def _check_recipe(self, state: Mapping[str, Any]) -> None:
        """Files of before there were these keys have neither; another dropout may go on."""
        size = state.get("input_size")
        if size is not None and self.input_size not in (None, tuple(size)):
            told = [" x ".join(map(str, each)) for each in (size, self.input_size or ())]
            raise ValueError(f"pictures of {told[0]} pixels, here {told[1]}: another --spatial_size")
        told = [describe(each) for each in (state["network"], self.objects["network"].state_dict())]
        stride = [
            (each or {}).get("stride") for each in (state.get("network_def") or self.network_def, self.network_def)
        ]
        if told[0] != told[1] or stride[0] != stride[1]:
            names = [name + (f" of stride {each}" if each else "") for name, each in zip(told, stride, strict=True)]
            raise ValueError(f"a {names[0]}, here {names[1]}: another --network_def")

    def __call__(self, engine: Engine) -> None:
        """Save after one epoch."""
        loss = val_loss(self.evaluator) if validated(self.evaluator, engine) else math.inf
        better = loss < self.best
        self.best = min(loss, self.best)
        self.best_epoch = engine.state.epoch if better else self.best_epoch
        if not leads():
            return
        if better:
            _save(Weights(self.kept.state_dict(), self.network_def, self.input_size).to_dict(), self.best_path)
        state = {name: item.state_dict() for name, item in self.objects.items()}
        state.update({name: part.state_dict() for name, part in self.later.items()})
        state.update({name: getattr(engine.state, name) for name in engine.state_dict_user_keys})
        if getattr(engine, "scaler", None) is not None:  # of mixed precision on CUDA
            state["scaler"] = engine.scaler.state_dict()
        about = Weights({}, self.network_def, self.input_size).to_dict()
        state.update({name: value for name, value in about.items() if name != "model"})
        state["start"] = self.start.state_dict()
        state["epoch_length"] = engine.state.epoch_length
        progress = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        _save({**state, **progress}, self.last_path)


def _check_kind(name: str, item: Any, state: Mapping[str, Any]) -> None:
    """A schedule of fixed length holds for that length alone; no optimiser or schedule goes on from another kind's."""
    if isinstance(item, torch.optim.Optimizer):
        own, theirs = (sorted({*each[0]} - {"params", *RATES}) for each in (item.param_groups, state["param_groups"]))
        if not set(own) <= set(theirs):
            missing = ", ".join(sorted(set(own) - set(theirs)))
            raise ValueError(f"an optimiser without {missing}, here {type(item).__name__}: another --{name}")
        if len(item.param_groups) != len(state["param_groups"]):
            counts = [len(each) for each in (state["param_groups"], item.param_groups)]
            raise ValueError(f"{counts[0]} groups of parameters, here {counts[1]}: another --{name} or overlay")
    if isinstance(item, torch.optim.lr_scheduler.LRScheduler):
        own_steps, steps = item.state_dict().get("total_steps"), state.get("total_steps")
        if own_steps != steps:
            told = [f"a schedule of {n} steps" if n else "one without a fixed length" for n in (steps, own_steps)]
            raise ValueError(f"{told[0]}, here {told[1]}: another --max_epochs, batch size or overlay")


def _save(state: Mapping[str, Any], path: Path) -> None:
    try:
        with replacing(path) as partial:
            save_state(state, partial)
    except OSError as error:
        fix = "Make room, and go on with --resume true"
        raise CheckpointError(path, "must be possible to write", got=error.strerror or error, fix=fix) from error
