"""A network as a folder that runs without this package.

::

    model.onnx | model.xml, model.bin | model.pt     the model, with its metadata
    model.json                                       what it is, with the hashes of its files
    client.py  requirements.txt  README.md           the small install
    parity.json                                      how it compares with the library
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion._version import NOTICE, __version__
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, replacing_folder
from monai_lesion.machine.packages import load_package, versions
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.identity import weights_id
from monai_lesion.pipeline import client
from monai_lesion.pipeline.graphs import BlueFirst, EndToEnd
from monai_lesion.pipeline.recipes import Recipe, recipe_of
from monai_lesion.runtimes import conversions
from monai_lesion.segmentation import parity

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

FORMATS = {"torchscript": "model.pt", "onnx": "model.onnx", "openvino": "model.xml"}
NEEDS = {"torchscript": "torch>=2.4", "onnx": "onnxruntime>=1.18", "openvino": "openvino>=2024.4"}
LICENCE = "Code: Apache-2.0. Weights: the terms of whoever trained them, and of the data"


def export_model(
    segmenter: LesionSegmenter,
    output: str | Path,
    *,
    format: str,
    end_to_end: bool = False,
    calibration: CalibrationImages | None = None,
    pictures: parity.Pictures | None = None,
    dice_tolerance: float = 0.002,
    licence: str = LICENCE,
) -> parity.Parity:
    """Write a segmenter's network as a folder of its own, and check that it segments alike.

    Args:
        segmenter: its network and transforms are exported.
        output: folder to make.
        format: ``"torchscript"``, ``"onnx"`` or ``"openvino"``.
        end_to_end: put everything but the choice of the largest component into the model.
        calibration: pictures to quantise with; None exports fp32.
        pictures: what both ways are compared on; None takes eight simulated cases.
        dice_tolerance: how much the masks may differ, as of :class:`~monai_lesion.segmentation.parity.Parity`.
        licence: of the weights, for the metadata.

    Returns:
        How the model compares.

    Raises:
        InputError: when the folder is in use, the format cannot hold int8, a package is missing, or the model is
            outside the tolerance; nothing is left then.
    """
    if format not in FORMATS:
        raise InputError("format", f"must be of {', '.join(FORMATS)}", got=format)
    if calibration is not None and format == "torchscript":
        raise InputError("format", "for int8 must be onnx or openvino", got=format)
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "must be a new or empty folder", got="one in use")
    _load_needed(format, calibration is not None)
    recipe = recipe_of(segmenter.preprocess, segmenter.postprocess)
    precision = "fp32" if calibration is None else "int8"
    description = _describe(segmenter, recipe, format, precision, end_to_end, licence)
    with replacing_folder(folder) as partial:
        _fill(segmenter, partial, description, recipe, calibration)
        found = _compare(segmenter, partial, pictures or parity.simulated(8), dice_tolerance)
        faults = found.faults(precision)
        if faults:
            rule = f"the exported model must segment as the library does ({found.pictures})"
            fix = "Calibrate on more or other images, or export without --int8" if calibration is not None else ""
            raise InputError(folder, rule, got="; ".join(faults), fix=fix)
        _write_text(partial / "parity.json", json.dumps(found.to_dict(precision), indent=2) + "\n")
        _write_text(partial / "requirements.txt", f"{NEEDS[format]}\nnumpy>=1.26\npillow>=10.0\n")
        _write_text(partial / "README.md", _readme(description, found))
        shutil.copyfile(client.__file__, partial / "client.py")
    return found


def write_model(segmenter: LesionSegmenter, folder: Path, *, format: str) -> None:
    """Fill an empty folder with the float32 model and ``model.json`` alone, as the cache keeps them.

    Raises:
        InputError: when a package is missing, or the transforms are not the bundle's.
    """
    _load_needed(format, False)
    recipe = recipe_of(segmenter.preprocess, segmenter.postprocess)
    _fill(segmenter, folder, _describe(segmenter, recipe, format, "fp32", False, LICENCE), recipe, None)


def _fill(
    segmenter: LesionSegmenter,
    folder: Path,
    description: dict[str, Any],
    recipe: Recipe,
    calibration: CalibrationImages | None,
) -> None:
    _write_model(segmenter, folder / description["model"], description, recipe, calibration)
    _write_description(folder, description)


def _load_needed(format: str, quantised: bool) -> None:
    """Ask for what is missing before the long work."""
    if format != "torchscript":
        load_package("onnx")
        load_package("onnxruntime" if format == "onnx" else "openvino")
    if quantised:
        load_package("onnxruntime")
        load_package("nncf")


def _describe(
    segmenter: LesionSegmenter, recipe: Recipe, format: str, precision: str, end_to_end: bool, licence: str
) -> dict[str, Any]:
    rows, columns = recipe.spatial_size
    state = segmenter.network.state_dict()
    shape = ["any", 3, "any", "any"] if format == "torchscript" else [1, 3, rows, columns]
    inputs: dict[str, Any] = {"image": {"type": "float32", "shape": shape, "values": "RGB in 0-1"}}
    outputs: dict[str, Any] = {"logits": {"type": "float32", "shape": [shape[0], 1, *shape[2:]]}}
    if end_to_end:
        inputs = {"image": {"type": "uint8", "shape": ["rows", "columns", 3], "values": "RGB in 0-255"}}
        outputs = {
            "mask": {"type": "uint8", "shape": ["rows", "columns"], "values": "0 and 1, every component"},
            "probability": {"type": "float32", "shape": ["rows", "columns"], "values": "0-1"},
        }
    return {
        "schema": client.SCHEMA,
        "software": f"monai_lesion {__version__}",
        "notice": NOTICE,
        "licence": licence,
        "network": describe(state),
        "weights_id": weights_id(state),
        "bundle_version": segmenter.bundle_version,
        "format": format,
        "opset": None if format == "torchscript" else conversions.OPSET,
        "precision": precision,
        "end_to_end": end_to_end,
        "inputs": inputs,
        "outputs": outputs,
        "spatial_size": [rows, columns],
        "threshold": recipe.threshold,
        "channel_order": segmenter.channel_order,  # of the network; the model itself takes RGB
        "made_with": versions(["torch", "onnx", "openvino", "nncf"]),
        "model": FORMATS[format],
    }


def _write_model(
    segmenter: LesionSegmenter,
    file: Path,
    description: dict[str, Any],
    recipe: Recipe,
    calibration: CalibrationImages | None,
) -> None:
    network = BlueFirst(segmenter.network) if segmenter.channel_order == "bgr" else segmenter.network
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}
    whole, size = description["end_to_end"], recipe.spatial_size
    if description["format"] == "torchscript":
        around = (lambda core: EndToEnd(core, size, recipe.threshold)) if whole else None
        conversions.write_torchscript(conversions.to_torchscript(network, around=around), file, metadata)
        return
    model = conversions.to_onnx(network, size)
    if calibration is not None:
        from monai_lesion.runtimes.quantization import quantise

        model = quantise(model, calibration, runtime=description["format"])
    if whole:
        model = conversions.end_to_end(model, size, recipe.threshold)
    write = conversions.write_onnx if description["format"] == "onnx" else conversions.write_openvino
    write(model, file, metadata)


def _write_description(folder: Path, description: dict[str, Any]) -> None:
    hashes = {file.name: file_sha256(file) for file in sorted(folder.iterdir())}
    _write_text(folder / "model.json", json.dumps({**description, "file_sha256": hashes}, indent=2) + "\n")


def _compare(
    segmenter: LesionSegmenter, folder: Path, pictures: parity.Pictures, dice_tolerance: float
) -> parity.Parity:
    def library(pixels: Any) -> parity.Found:
        result = segmenter(pixels)
        return result.mask, result.probability

    try:
        exported = client.Model(folder)
        return parity.compare(library, exported, pictures, dice_tolerance=dice_tolerance)
    except client.ModelError as error:
        raise InputError(str(error)) from error


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _readme(description: dict[str, Any], found: parity.Parity) -> str:
    tensors = []
    for kind in ("input", "output"):
        for name, facts in description[f"{kind}s"].items():
            shape = " x ".join(str(side) for side in facts["shape"])
            tensors.append(f"| {kind} | `{name}` | {facts['type']} | {shape} | {facts.get('values', '')} |")
    rest = (
        "Of `mask`, keep the largest component (neighbours touch by an edge or a corner) and fill its holes."
        if description["end_to_end"]
        else "Before and after the model stand the steps of `Model.__call__` in `client.py`."
    )
    return f"""# {description["network"]}, {description["format"]} {description["precision"]}

{NOTICE}. {description["licence"]}.

    pip install -r requirements.txt
    python client.py picture.png mask.png

| | name | type | shape | values |
|---|---|---|---|---|
{chr(10).join(tensors)}

{rest} `client.py` does so in numpy.

Compared with {description["software"]} in PyTorch on {found.images} images ({found.pictures}): mean Dice of the masks
{found.mean_dice_with_library:.4f}, largest difference of the probabilities {found.max_probability_difference:.2g}.
"""
