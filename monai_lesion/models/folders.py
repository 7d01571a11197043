"""Open model folders: ``model.json`` and its model. PyTorch is imported only to run it.

::

    model.json  model.onnx  (model.pt)  (card.md)
        |            |          |
    description -- Runtime    network, for PyTorch and training
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256
from monai_lesion.machine.packages import load_package
from monai_lesion.models.descriptions import FILE, WEIGHTS, ModelDescription, check_file, read_description
from monai_lesion.pipeline.operations import Array, clean
from monai_lesion.runtimes.executions import NAMES, Execution
from monai_lesion.runtimes.interfaces import Runtime

if TYPE_CHECKING:
    from torch import nn

Found = tuple[Array, Array, "Array | None"]  # mask, probability, scores


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that :func:`read_model` has read and checked.

    Attributes:
        path: the folder.
        description: its ``model.json``.
    """

    path: Path
    description: ModelDescription

    @property
    def model(self) -> Path:
        """File of the model."""
        return self.path / self.description.model

    @property
    def weights(self) -> Path:
        """File of the weights that the model was made from; it may be missing."""
        return self.path / WEIGHTS

    @property
    def card(self) -> Path:
        """The model card; it may be missing."""
        return self.path / "card.md"

    @property
    def is_current(self) -> bool:
        """Whether the weights beside the model are those it was made from, or missing."""
        known = self.description.files.get(WEIGHTS)
        if self.description.model == WEIGHTS or not self.weights.is_file():
            return True
        return known is not None and file_sha256(self.weights) == known

    def network(self) -> nn.Module:
        """Build the network in PyTorch, in evaluation mode; it takes the channels in its own order.

        Raises:
            InputError: when the folder lacks weights or the definition of a network, or they are not the model's.
            CheckpointError: when the weights do not fit.
        """
        from monai_lesion.networks.checkpoints import load_weights
        from monai_lesion.networks.definitions import build_for
        from monai_lesion.networks.weight_files import read_weights

        definition = self.description.network_def
        if definition is None or WEIGHTS not in self.description.files or self.description.model == WEIGHTS:
            got = "a model alone"
            raise InputError(self.path, f"must hold {WEIGHTS} and a network_def for PyTorch", got=got, fix="Use onnx")
        check_file(self.weights, self.description.files[WEIGHTS])
        weights = read_weights(self.weights)
        network = build_for(definition, weights.state, self.path / FILE)
        return load_weights(network, self.weights, weights).eval()


def read_model(folder: str | Path) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        InputError: when it is not a model folder, is damaged, or has another version.
    """
    path = Path(folder)
    if not (path / FILE).is_file():
        got = "a folder without it" if path.is_dir() else "no such folder"
        raise InputError(path, f"must be a model folder with {FILE}", got=got)
    return ModelFolder(path, read_description(path))


def open_folder(model: ModelFolder, execution: Execution) -> Runtime:
    """Open the runtime that runs the model of a folder.

    Args:
        model: written without ``--end-to-end``.
        execution: runtime None takes the model's own, or PyTorch on a device other than the CPU.

    Raises:
        InputError: for a runtime or a precision that the model cannot have, or a package that is not installed.
    """
    known, name = model.description, execution.runtime
    _check_code(known, model.path, execution)
    if known.end_to_end:
        raise InputError(model.path, "must hold the network alone", got="an end-to-end model")
    if isinstance(name, Runtime):
        return name
    if name is None:
        name = "torch" if known.format == "torchscript" or not execution.on_cpu else known.format
        execution = replace(execution, runtime=name)
    own = {"onnx": "onnx", "openvino": "openvino", "torchscript": "torch"}[known.format]
    wanted = execution.precision or known.precision
    if wanted == "int8" and known.precision == "fp32" and execution.calibration is None:
        fix = "Export the network with --int8, or give calibration pictures"
        raise InputError("precision", f"of {model.path} is fp32", got=wanted, fix=fix)
    direct = name == own or (name == "openvino" and known.format == "onnx")
    if not direct or (wanted, known.precision) == ("int8", "fp32"):
        return _opened_anew(model, execution)
    if known.precision == "int8" and wanted != "int8":
        raise InputError("precision", f"of {model.path} is int8", got=wanted, fix="Export the network again")
    if name == "torch":
        from monai_lesion.runtimes.sessions import open_torchscript
        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        return TorchRuntime(open_torchscript(model.model), precision=wanted, device=execution.device or "cpu")
    from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime
    from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

    execution.check_cpu()
    kind: Callable[..., Runtime] = OnnxRuntime if name == "onnx" else OpenVinoRuntime
    return kind(model.model, precision=wanted, threads=execution.threads)


def _check_code(known: ModelDescription, folder: Path, execution: Execution) -> None:
    if known.format == "torchscript" and not execution.code:
        fix = "Ask for it as ONNX; or, if you trust whoever made it, leave --no-code out"
        raise InputError(folder, "must not be TorchScript, which is a program", got=known.model, fix=fix)


def _opened_anew(model: ModelFolder, execution: Execution) -> Runtime:
    """Open the model in a runtime or precision that its file does not have."""
    from monai_lesion.pipeline.graphs import takes_rgb
    from monai_lesion.runtimes.factories import open_model, open_runtime

    known = model.description
    if execution.runtime in ("onnx", "openvino") and known.format == "onnx" and execution.precision == "int8":
        onnx = load_package("onnx")
        return open_model(lambda: onnx.load(str(model.model)), known.steps, execution)
    if execution.runtime not in (*NAMES, "auto"):  # the same words for an unknown name
        return open_runtime(None, known.steps, execution)  # type: ignore[arg-type]
    return open_runtime(takes_rgb(model.network(), known.steps.channel_order), known.steps, execution)


def open_same(folder: Path, weights_id: str, execution: Execution) -> Runtime:
    """Open the model of a folder to replace a network with the same weights.

    Raises:
        InputError: when it has other weights or is end to end, or when :func:`read_model` or :func:`open_folder` fails.
    """
    if not folder.is_dir():
        rule = f"must be auto, {', '.join(NAMES)} or the folder of a model"
        raise InputError("runtime", rule, got=folder)
    model = read_model(folder)
    if model.description.end_to_end:
        fix = "Export it without --end-to-end"
        rule = "must hold the network alone to be used as runtime"
        raise InputError(folder, rule, got="an end-to-end model", fix=fix)
    if model.description.weights_id != weights_id:
        rule = f"must hold the weights of this network ({weights_id[:12]})"
        got = f"{model.description.network} with {model.description.weights_id[:12]}"
        raise InputError(folder, rule, got=got, fix="Export the network again")
    return open_folder(model, replace(execution, runtime=None, device="cpu"))


class WholeModel:
    """An end-to-end model: picture in; mask, probability and scores out.

    Args:
        model: written with ``--end-to-end``.
        execution: its precision and runtime must be the model's.

    Raises:
        InputError: for another precision, runtime or device, or a package that is not installed.
    """

    def __init__(self, model: ModelFolder, execution: Execution) -> None:
        known = model.description
        _check_code(known, model.path, execution)
        if not known.end_to_end:
            raise InputError(model.path, "must be an end-to-end model", got="a network alone")
        if execution.runtime not in (None, known.format) or not execution.on_cpu:
            got = execution.runtime or execution.device
            raise InputError("runtime", f"of {model.path} is {known.format} on the CPU", got=got)
        if execution.precision not in (None, known.precision):
            fix = "Export it again"
            raise InputError("precision", f"of {model.path} is {known.precision}", got=execution.precision, fix=fix)
        self.keep = known.steps.keep
        self.label = f"{known.format} {known.precision}"
        self.run: Callable[[Array], list[Any]] = _whole_runs(model)

    def __call__(self, pixels: Array) -> Found:
        """Find mask, probability and scores of a uint8 picture ``(H, W, 3)``."""
        mask, probability, *scores = self.run(pixels)
        return clean(mask, self.keep), np.ascontiguousarray(probability), scores[0] if scores else None


def _whole_runs(model: ModelFolder) -> Callable[[Array], list[Any]]:
    from monai_lesion.models.client import OPENERS

    load_package({"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torch"}[model.description.format])
    return OPENERS[model.description.format](str(model.model), model.description.precision)
