"""Export a model folder that runs without this package, and check it against its network.

::

    model.json  model.onnx | model.xml, model.bin | model.pt     the model
    client.py ...  requirements.txt  README.md                   the small install
    parity.json                                                  how it compares with PyTorch
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion._version import NOTICE
from monai_lesion.errors import InputError
from monai_lesion.files import replacing_folder
from monai_lesion.machine.loggers import no_less_than
from monai_lesion.machine.packages import load_package
from monai_lesion.models import client
from monai_lesion.models.descriptions import LICENCE, ModelDescription
from monai_lesion.models.writers import check_format, copy_client, write_model_folder
from monai_lesion.segmentation import parity
from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

NEEDS = {"torchscript": "torch>=2.10", "onnx": "onnxruntime>=1.18", "openvino": "openvino>=2024.4"}


def export_model(
    segmenter: LesionSegmenter,
    output: str | Path,
    *,
    format: str,
    end_to_end: bool = False,
    calibration: CalibrationImages | None = None,
    half: bool = False,
    pictures: parity.Pictures | None = None,
    dice_tolerance: float = 0.002,
    licence: str | None = None,
) -> parity.Parity:
    """Write a segmenter's network into a folder, and check that the exported model finds the same masks.

    Args:
        segmenter: whose network and steps to export.
        output: new or empty folder.
        format: ``"torchscript"``, ``"onnx"`` or ``"openvino"``.
        end_to_end: build everything but the choice of the component into the model.
        calibration: pictures to quantise with; None exports fp32.
        half: store the weights in half precision.
        pictures: pictures on which the model is compared with PyTorch; None takes eight simulated cases.
        dice_tolerance: how much the masks may differ, see :class:`~monai_lesion.segmentation.parity.Parity`.
        licence: licence of the weights, for ``model.json``; None takes that of the segmenter's model folder.

    Returns:
        The comparison of the model with PyTorch.

    Raises:
        InputError: when the folder is in use, the format cannot hold int8, a package is missing, or the model is
            outside the tolerance. Nothing is written then.
    """
    steps, precision = segmenter.steps, "fp32" if calibration is None else "int8"
    check_format(format, precision=precision, half=half, end_to_end=end_to_end, steps=steps)
    if format == "onnx":
        load_package("onnxruntime")  # for the comparison
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "must be a new or empty folder", got="a folder with files in it")
    with no_less_than(logging.WARNING):  # it would say of itself that it carries no calibration
        plain = LesionSegmenter(segmenter.network, steps, device="cpu")
    origin = segmenter.folder.description if segmenter.folder is not None else None
    with replacing_folder(folder) as partial:
        description = write_model_folder(
            segmenter.network,
            partial,
            steps=steps,
            network_def=segmenter.network_def,
            name=segmenter.settings.get("model", folder.resolve().name),
            format=format,
            end_to_end=end_to_end,
            int8=calibration,
            half=half,
            # Made with the network in float32, so it holds for that alone.
            calibration=origin.calibration if origin is not None and calibration is None else None,
            bundle_version=segmenter.algorithm.bundle_version,
            licence=licence or (origin.licence if origin is not None else LICENCE),
        )
        copy_client(partial)
        found = _compare(plain, partial, pictures or parity.simulated(8), dice_tolerance)
        faults = found.faults(precision)
        if faults:
            rule = f"the exported model must segment as the library does ({found.pictures})"
            fix = "Calibrate on more or other images, or export without --int8" if calibration is not None else ""
            raise InputError(folder, rule, got="; ".join(faults), fix=fix)
        _write_text(partial / "parity.json", json.dumps(found.to_dict(precision), indent=2) + "\n")
        _write_text(partial / "requirements.txt", f"{NEEDS[format]}\nnumpy>=1.26\npillow>=12.3\n")
        _write_text(partial / "README.md", _readme(description, found))
    return found


def _compare(plain: LesionSegmenter, folder: Path, pictures: parity.Pictures, dice_tolerance: float) -> parity.Parity:
    def library(pixels: Any) -> parity.Found:
        result = plain(pixels)
        return result.mask, result.probability

    try:
        exported = client.Model(folder)
        return parity.compare(
            library, lambda pixels: exported.found(pixels)[:2], pictures, dice_tolerance=dice_tolerance
        )
    except client.ModelError as error:
        raise InputError(str(error)) from error


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _readme(description: ModelDescription, found: parity.Parity) -> str:
    tensors = []
    for kind, each in (("input", description.inputs), ("output", description.outputs)):
        for name, facts in each.items():
            shape = " x ".join(str(side) for side in facts["shape"])
            tensors.append(f"| {kind} | `{name}` | {facts['type']} | {shape} | {facts.get('values', '')} |")
    keep = "keep the largest component" if description.steps.keep == "largest" else "keep every component"
    rest = (
        f"Of `mask`, {keep} (neighbours touch by an edge or a corner) and fill its holes."
        if description.end_to_end
        else "Before and after the model stand the steps of `Model.__call__` in `client.py`."
    )
    return f"""# {description.network}, {description.format} {description.precision}

{NOTICE}. {description.licence}.

    pip install -r requirements.txt
    python client.py picture.png mask.png

| | name | type | shape | values |
|---|---|---|---|---|
{chr(10).join(tensors)}

{rest} `client.py` does so in numpy.

Compared with {description.software} in PyTorch on {found.images} images ({found.pictures}): mean Dice of the masks
{found.mean_dice_with_library:.4f}, largest difference of the probabilities {found.max_probability_difference:.2g}.
"""
