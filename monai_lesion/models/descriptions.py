"""``model.json``: everything that decides a mask; imports neither PyTorch nor MONAI."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from monai_lesion._version import NOTICE, __version__
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, read_object, replacing
from monai_lesion.models.calibrations import check_calibration
from monai_lesion.pipeline.steps import Steps

SCHEMA = 2
FILE = "model.json"
FORMATS = {"torchscript": ("model.pt",), "onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
WEIGHTS = "model.pt"  # beside a model of ONNX or OpenVINO: the weights for PyTorch, to train on from
LICENCE = "Code: Apache-2.0. Weights: the terms of whoever trained them, and of the data"
RULE = "must be the description that monai_lesion writes into a model folder"


@dataclass(frozen=True)
class ModelDescription:
    """What a model is.

    Args:
        name: short name, such as ``"pocket"``.
        network: readable description, such as ``"LightUNet(width=0.125)"``.
        weights_id: from :func:`monai_lesion.networks.identity.weights_id`; of a folder with schema 1 the hash that was
            in use then.
        steps: what happens before and after the network.
        format: ``"onnx"``, ``"openvino"`` or ``"torchscript"``.
        precision: precision of the arithmetic, ``"fp32"`` or ``"int8"``.
        stored: precision of the weights in the file, ``"fp32"``, ``"fp16"`` or ``"int8"``.
        end_to_end: whether the model takes a picture and gives a mask; otherwise it takes the network's input and gives
            logits.
        network_def: class and arguments to rebuild the network; None for one from outside
            :mod:`monai_lesion.networks`.
        calibration: calibration of decision, trust and intervals, see :mod:`monai_lesion.models.calibrations`; None
            without one.
        inputs: type and shape of each.
        outputs: type and shape of each.
        opset: ONNX opset; None for TorchScript.
        licence: licence of the weights.
        notice: what the weights must not be used for.
        software: what wrote the folder.
        bundle_version: version of the bundle that the network came from; empty without one.
        made_with: versions of the packages that made it.
        files: SHA-256 of each file, :data:`WEIGHTS` included if it lies beside the model.
    """

    name: str
    network: str
    weights_id: str
    steps: Steps
    format: str
    precision: str = "fp32"
    stored: str = "fp32"
    end_to_end: bool = False
    network_def: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    opset: int | None = None
    licence: str = LICENCE
    notice: str = NOTICE
    software: str = f"monai_lesion {__version__}"
    bundle_version: str = ""
    made_with: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model's file."""
        return FORMATS[self.format][0]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``model.json``."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "steps"}
        first = {name: values.pop(name) for name in ("name", "network", "network_def", "weights_id")}
        return {"schema": SCHEMA, **first, **self.steps.to_dict(), **values}

    @classmethod
    def of(cls, content: Mapping[str, Any], where: object = FILE) -> ModelDescription:
        """Read and check a description.

        Args:
            content: content of ``model.json``; unknown keys are ignored.
            where: the file, for error messages.

        Raises:
            InputError: for another schema, a missing key, or a value that breaks a rule.
        """
        schema = content.get("schema")
        if schema == 1:
            content = _of_schema_1(content)
        elif schema != SCHEMA:
            got = "none" if schema is None else schema
            raise InputError(where, f"must have schema {SCHEMA}", got=got, fix="Export the network again")
        for name, (holds, rule) in RULES.items():
            if name not in content:
                raise InputError(where, f"must give {name}", got="nothing", fix="Export the network again")
            if not holds(content[name]):
                raise InputError(where, f"{name} must be {rule}", got=_shown(content[name]))
        if content["stored"] == "int8" and content["precision"] != "int8":
            raise InputError(where, "stored as int8 must be computed in int8", got=content["precision"])
        missing = [name for name in FORMATS[content["format"]] if name not in content["files"]]
        if missing:
            raise InputError(where, f"files must give the hash of {missing[0]}", got="nothing")
        if content["calibration"] is not None:
            check_calibration(content["calibration"], content["weights_id"], where)
        try:
            steps = Steps.of(content)
        except InputError as error:
            raise InputError(f"{where}, {error}") from error
        return cls(steps=steps, **{name: content[name] for name in RULES})


def _text(value: Any, least: int = 1, most: int = 200) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and value.isprintable()


def _object(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _object_or_none(value: Any) -> bool:
    return value is None or _object(value)


def _tensors(value: Any) -> bool:
    return _object(value) and all(_object(facts) and {"type", "shape"} <= facts.keys() for facts in value.values())


def _texts(value: Any) -> bool:
    return _object(value) and all(_text(each) for each in value.values())


def _hashes(value: Any) -> bool:
    names = _object(value) and all(re.fullmatch(r"[\w-][\w.-]*", name) for name in value)  # no path, no hidden file
    return bool(names) and all(_is_hash(each) for each in value.values())


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: _text(value, most=64), "a text of 1 to 64 characters"),
    "network": (_text, "a text of 1 to 200 characters"),
    "weights_id": (_is_hash, "64 hexadecimal digits"),
    "format": (lambda value: isinstance(value, str) and value in FORMATS, f"one of {', '.join(FORMATS)}"),
    "precision": (lambda value: value in ("fp32", "int8"), "fp32 or int8"),
    "stored": (lambda value: value in ("fp32", "fp16", "int8"), "fp32, fp16 or int8"),
    "end_to_end": (lambda value: isinstance(value, bool), "true or false"),
    "network_def": (_object_or_none, "an object or null"),
    "calibration": (_object_or_none, "an object or null"),
    "inputs": (_tensors, "an object of tensors, each with type and shape"),
    "outputs": (_tensors, "an object of tensors, each with type and shape"),
    "opset": (lambda value: value is None or type(value) is int, "a whole number or null"),
    "licence": (lambda value: _text(value, most=2000), "a text"),
    "notice": (_text, "a text"),
    "software": (_text, "a text"),
    "bundle_version": (lambda value: _text(value, least=0, most=16), "a text of at most 16 characters"),
    "made_with": (_texts, "an object of texts"),
    "files": (_hashes, "the SHA-256 of each file by its name, without a folder"),
}


def _of_schema_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what an export of an earlier version says; those always kept the largest component."""
    renamed = {"weights_id": "weights_sha256", "input_size": "spatial_size"}
    known = {new: content[old] for new, old in renamed.items() if old in content}
    network, precision = content.get("network"), content.get("precision")
    told = {"name": network, "stored": precision, "keep": "largest", "order": "resize_first"}
    return {**content, **told, "network_def": None, "calibration": None, **known}


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_description(folder: Path) -> ModelDescription:
    """Read the description in a folder, and check that the model beside it is the one it describes.

    Raises:
        InputError: when it is missing or breaks a rule, or the model's file is missing or has changed.
    """
    file = folder / FILE
    description = ModelDescription.of(read_object(file, RULE), file)
    for name in FORMATS[description.format]:
        check_file(folder / name, description.files[name])
    return description


def check_file(file: Path, expected: str) -> None:
    """Check a file against its recorded hash.

    Raises:
        InputError: when the file is missing or has changed.
    """
    if not file.is_file() or file_sha256(file) != expected:
        rule, fix = "must be the file that was written with model.json", "Copy the folder again, or export it again"
        raise InputError(file, rule, got="another file or none", fix=fix)


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write ``model.json``, whole or not at all.

    Raises:
        InputError: for a description that :func:`read_description` would refuse.
    """
    content = description.to_dict()
    ModelDescription.of(content, folder / FILE)
    with replacing(folder / FILE) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
