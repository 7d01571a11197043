"""Write the model folder that a training leaves beside ``model.pt``."""

from __future__ import annotations

import copy
import logging
import shlex
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_lesion.errors import InputError, root_cause
from monai_lesion.files import read_object
from monai_lesion.models.descriptions import FILE, WEIGHTS
from monai_lesion.models.folders import read_model
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import build_for
from monai_lesion.networks.weight_files import read_weights
from monai_lesion.pipeline.steps import Steps
from monai_lesion.training.processes import leads

logger = logging.getLogger(__name__)


class LeaveModelFolder:
    """Write ``model.json`` and ``model.onnx`` of the best network beside ``model.pt`` when a training ends.

    ::

        ckpt_dir/  model.pt, last.ckpt     after each epoch, by Checkpoints
                   model.json, model.onnx  at the end, after an early stop, an error or Ctrl-C

    ``predict`` and other commands that only segment open the folder without PyTorch. An error is logged and loses
    nothing, because ``model.pt`` exists. With several processes, the first writes.

    Args:
        ckpt_dir: folder of ``model.pt``.
        network: the network that is trained; if its class is not from this package, the model is made from a copy.
        bundle: folder of the bundle; ``model.json`` gives the version in its ``configs/metadata.json``.
    """

    def __init__(self, ckpt_dir: str | Path, network: nn.Module, *, bundle: str | Path | None = None) -> None:
        self.ckpt_dir = Path(ckpt_dir)
        self.network = network
        self.bundle = bundle
        self.trained = False

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after what writes ``model.pt``."""
        if leads():
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._count)
            engine.add_event_handler(Events.COMPLETED, self)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._after)

    def _count(self) -> None:
        self.trained = True

    def _after(self, engine: Engine, error: BaseException) -> None:
        if self.trained:
            self(engine)
            self.trained = False  # an error comes by once from each loop of the engine
        raise error  # which ignite leaves to whoever handles the event

    def __call__(self, engine: Engine) -> None:
        """Write the folder, unless it already has these weights, and log how to use it."""
        if not (self.ckpt_dir / WEIGHTS).is_file():
            return
        try:
            # MONAI's own trainers go on in the same process: no random number may move.
            with torch.random.fork_rng(devices=[]):
                write_trained(self.ckpt_dir, self.network, bundle=self.bundle)
        except Exception as error:  # the training is done: nothing that happens here may lose it
            cause = root_cause(error)
            told = cause if isinstance(cause, InputError) else f"{type(cause).__name__}: {cause}"
            logger.warning("no model folder in %s: %s; %s was saved", self.ckpt_dir, told, WEIGHTS)
            return
        named = shlex.quote(str(self.ckpt_dir))
        logger.info(
            "the model is in %s; use it: monai-lesion predict scan.png --bundle %s --output results", named, named
        )


def write_trained(folder: str | Path, network: nn.Module | None = None, *, bundle: str | Path | None = None) -> None:
    """Write ``model.json`` and ``model.onnx`` beside a training's ``model.pt``, unless they are up to date.

    Args:
        folder: folder of ``model.pt``, which holds network and input size too.
        network: the network, if its class is not from this package.
        bundle: see :class:`LeaveModelFolder`.

    Raises:
        InputError: when ``model.pt`` does not give its input size, or the network cannot be converted.
        CheckpointError: when the weights are missing or damaged, or belong to another network.
        OSError: when the folder cannot be written.
    """
    path = Path(folder)
    weights = read_weights(path / WEIGHTS)
    if weights.input_size is None:
        raise InputError(path / WEIGHTS, "must give its input_size", got="weights of an earlier version")
    if _is_current(path):
        return
    if weights.network_def is not None:
        subject = build_for(weights.network_def, weights.state, path / WEIGHTS)
    elif network is not None:
        subject = copy.deepcopy(network).cpu().float()
    else:
        raise InputError(path / WEIGHTS, "must give its network_def", got="none", fix="Name the network")
    write_model_folder(
        load_weights(subject, path / WEIGHTS).eval(),
        path,
        steps=Steps(input_size=weights.input_size),
        network_def=weights.network_def,
        name=_name(path),
        bundle_version=_version(bundle),
    )


def _is_current(folder: Path) -> bool:
    if not (folder / FILE).is_file():
        return False
    try:
        return read_model(folder).is_current
    except InputError:  # half or damaged: written anew
        return False


def _name(folder: Path) -> str:
    """The folder's name, without the ``models`` that every training has."""
    path = folder.resolve()
    name = path.parent.name if path.name == "models" else path.name
    return "".join(sign for sign in name if sign.isprintable())[:64] or "model"


def _version(bundle: str | Path | None) -> str:
    file = None if bundle is None else Path(bundle) / "configs" / "metadata.json"
    if file is None or not file.is_file():
        return ""
    return str(read_object(file).get("version", ""))[:16]
