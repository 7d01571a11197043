"""Write model folders: for presets, trainings and exports alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, partial_prefix, sweep
from monai_lesion.machine.packages import load_package, versions
from monai_lesion.models.descriptions import (
    FILE,
    FORMATS,
    LICENCE,
    WEIGHTS,
    ModelDescription,
    write_description,
)
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.definitions import definition_of
from monai_lesion.networks.identity import weights_id
from monai_lesion.networks.recognition import without_pretraining
from monai_lesion.pipeline.graphs import EndToEnd, ScoredEndToEnd, takes_rgb
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes import conversions

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages


def write_model_folder(
    network: nn.Module,
    folder: str | Path,
    *,
    steps: Steps,
    network_def: Mapping[str, Any] | None = None,
    name: str = "",
    format: str = "onnx",
    end_to_end: bool = False,
    int8: CalibrationImages | None = None,
    half: bool = False,
    calibration: dict[str, Any] | None = None,
    bundle_version: str = "",
    licence: str = LICENCE,
) -> ModelDescription:
    """Write ``model.json`` and its model into a folder.

    ::

        network -- merge -- convert -- (quantise) -- (steps around it) -- model.onnx
                                                                          model.json, last

    A reader never finds half a model, not even after a kill: the old ``model.json`` is removed first and the new one
    written last.

    Args:
        network: the trained network, which takes channels in ``steps.channel_order``; it is not changed.
        folder: created if needed. A ``model.pt`` in it counts as the network's weights, and its hash is recorded.
        steps: what happens before and after the network.
        network_def: class and arguments of the network; None recognises one of the paper's networks by its tensors.
        name: name of the model; None takes the folder's.
        format: ``"onnx"``, ``"openvino"`` or ``"torchscript"``.
        end_to_end: build everything but the choice of the component into the model.
        int8: pictures to quantise with; None gives fp32.
        half: store the weights of an fp32 model in half precision.
        calibration: calibration of decision, trust and intervals, for ``model.json``.
        bundle_version: version of the bundle that the network came from.
        licence: licence of the weights.

    Returns:
        The description that ``model.json`` holds.

    Raises:
        InputError: for an unknown format or one that cannot hold int8 or half precision, another order end to end, a
            missing package, a network that cannot be converted, or TorchScript where ``model.pt`` exists.
        OSError: when the folder cannot be written.
    """
    target = Path(folder)
    precision = "fp32" if int8 is None else "int8"
    check_format(format, precision=precision, half=half, end_to_end=end_to_end, steps=steps)
    if format == "torchscript" and (target / WEIGHTS).exists():
        raise InputError(target / WEIGHTS, "must not exist yet", got="a file", fix="Choose another folder")
    state, definition = (
        network.state_dict(),
        definition_of(network) if network_def is None else without_pretraining(dict(network_def)),
    )
    inputs, outputs = _tensors(network, steps, format, end_to_end)
    description = ModelDescription(
        name=name or target.resolve().name,
        network=describe(state),
        weights_id=weights_id(state),
        steps=steps,
        format=format,
        precision=precision,
        stored="int8" if int8 is not None else "fp16" if half else "fp32",
        end_to_end=end_to_end,
        network_def=definition,
        calibration=calibration,
        inputs=inputs,
        outputs=outputs,
        opset=None if format == "torchscript" else conversions.OPSET,
        licence=licence,
        bundle_version=bundle_version,
        made_with=versions(["torch", "onnx", "openvino", "nncf"]),
    )
    target.mkdir(parents=True, exist_ok=True)
    sweep(target)
    with TemporaryDirectory(prefix=partial_prefix(), dir=target) as partial:
        try:
            _write_model(network, Path(partial), description, int8)
        except OSError as error:  # a full disk names no file
            error.filename = str(target / description.model)
            raise
        files = {file: file_sha256(Path(partial) / file) for file in FORMATS[format]}
        if WEIGHTS not in files and (target / WEIGHTS).is_file():
            files[WEIGHTS] = file_sha256(target / WEIGHTS)
        (target / FILE).unlink(missing_ok=True)
        for file in FORMATS[format]:
            (Path(partial) / file).replace(target / file)
    description = replace(description, files=files)
    write_description(target, description)
    return description


def check_format(format: str, *, precision: str, half: bool = False, end_to_end: bool = False, steps: Steps) -> None:
    """Check that a model can be written, before the long work begins.

    Raises:
        InputError: see :func:`write_model_folder`.
    """
    if format not in FORMATS:
        raise InputError("format", f"must be one of {', '.join(FORMATS)}", got=format)
    if precision == "int8" and format == "torchscript":
        raise InputError("format", "for int8 must be onnx or openvino", got=format)
    if half and (precision == "int8" or format != "onnx"):
        raise InputError("format", "for weights in half precision must be onnx in fp32", got=f"{format} {precision}")
    if end_to_end and steps.order != "resize_first":
        fix = "Export it without --end-to-end"
        raise InputError("order", "end to end must be resize_first", got=steps.order, fix=fix)
    if format != "torchscript":
        load_package("onnx")
    if format == "openvino":
        load_package("openvino")
    if precision == "int8":
        load_package("onnxruntime")
        load_package("nncf")


def _write_model(
    network: nn.Module, folder: Path, description: ModelDescription, int8: CalibrationImages | None
) -> None:
    steps, format, whole = description.steps, description.format, description.end_to_end
    told = {key: value for key, value in description.to_dict().items() if key not in ("files", "calibration")}
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}
    rgb, file = takes_rgb(network, steps.channel_order), folder / description.model
    if format == "torchscript":
        kind = ScoredEndToEnd if "scores" in description.outputs else EndToEnd
        around = (lambda core: kind(core, steps.input_size, steps.threshold)) if whole else None
        conversions.write_torchscript(conversions.to_torchscript(rgb, around=around), file, metadata)
        return
    model = conversions.to_onnx(rgb, steps.input_size)
    if int8 is not None:
        from monai_lesion.runtimes.quantization import quantise

        model = quantise(model, int8, runtime=format)
    if description.stored == "fp16":
        model = conversions.store_half(model)
    if whole:
        model = conversions.end_to_end(model, steps.input_size, steps.threshold)
    write = conversions.write_onnx if format == "onnx" else conversions.write_openvino
    write(model, file, metadata)


def _tensors(network: nn.Module, steps: Steps, format: str, end_to_end: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Type and shape of each input and output."""
    rows, columns = steps.input_size
    with torch.inference_mode():
        found = deepcopy(network).cpu().float().eval()(torch.zeros(1, 3, rows, columns))
    batch: Any = "any" if format == "torchscript" and not end_to_end else 1
    size: list[Any] = ["any", "any"] if format == "torchscript" else [rows, columns]
    inputs: dict[str, Any] = {"image": {"type": "float32", "shape": [batch, 3, *size], "values": "RGB in 0-1"}}
    outputs: dict[str, Any] = {"logits": {"type": "float32", "shape": [batch, 1, *size]}}
    if end_to_end:
        inputs = {"image": {"type": "uint8", "shape": ["rows", "columns", 3], "values": "RGB in 0-255"}}
        outputs = {
            "mask": {"type": "uint8", "shape": ["rows", "columns"], "values": "0 and 1, every component"},
            "probability": {"type": "float32", "shape": ["rows", "columns"], "values": "0-1"},
        }
    if not isinstance(found, torch.Tensor):
        values = "logits of presence and quality"
        outputs["scores"] = {"type": "float32", "shape": [batch, found[1].shape[1]], "values": values}
    return inputs, outputs


def copy_client(folder: Path) -> None:
    """Copy the client into a folder: modules of this package, changed to import each other from there."""
    from monai_lesion import errors
    from monai_lesion.machine import reporting
    from monai_lesion.measures import judgements
    from monai_lesion.models import calibrations, client
    from monai_lesion.pipeline import operations
    from monai_lesion.runtimes import sessions

    for module in (client, calibrations, judgements, errors, operations, sessions, reporting):
        source = Path(str(module.__file__))
        text = source.read_text(encoding="utf-8")
        text = text.replace("from monai_lesion.errors import", "from errors import")
        for room in ("machine", "measures", "models", "pipeline", "runtimes"):
            text = text.replace(f"from monai_lesion.{room}.", "from ")
        (folder / source.name).write_text(text, encoding="utf-8")
