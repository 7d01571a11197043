"""Segment a picture with the model that lies beside this file: one runtime, numpy and pillow; no MONAI.

    pip install -r requirements.txt
    python client.py picture.png mask.png [--probability probability.npy]

The mask has the picture's rows and columns, 255 in the lesion and 0 elsewhere. If the model is calibrated, decision and
trust are printed, and the mask is empty where nothing is found. Research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.measures.judgements import Judgement, describe_picture, judge, signals_of, signals_of_views
from monai_lesion.models.calibrations import check_calibration
from monai_lesion.pipeline.operations import Array, after, before, clean
from monai_lesion.runtimes.sessions import open_onnx, open_openvino, open_torchscript

SCHEMA = 2  # of model.json
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # Pillow's other readers may call programs
MAX_PIXELS = 2**26  # of a picture
PILLOW_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # 8-bit


class ModelError(ValueError):
    """A model folder or a picture that cannot be used."""


def read_description(folder: Path) -> dict[str, Any]:
    """``model.json`` of an exported folder, after a check that the files are those that were exported.

    Raises:
        ModelError: when it is missing, of another version, lacks what decides a mask, or a file was changed.
    """
    file = folder / "model.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        schema, files, threshold = known["schema"], known["files"].items(), float(known["threshold"])
        rows, columns = map(int, known["input_size"])
        whole = {known[name] for name in ("end_to_end", "format", "precision", "keep", "order")}
        if known["calibration"] is not None:
            check_calibration(known["calibration"], known["weights_id"], "model.json")
        if not 0 < threshold < 1 or min(rows, columns) < 1 or not whole:
            raise ValueError(f"threshold {threshold} and input_size {rows} x {columns}")
        if known["format"] not in FILES:
            raise ValueError(f"format {known['format']}")
    except InputError as error:
        raise ModelError(f"{folder}: {error}") from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"{file}: must be the description that monai-lesion export wrote, got {error}") from error
    if schema != SCHEMA:
        raise ModelError(f"{file}: must have schema {SCHEMA}, got {schema}. Export the network again")
    for name, expected in files:
        part = folder / name
        if not part.is_file() or hashlib.sha256(part.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{part}: must be the file that was exported, got another or none. Copy the folder again")
    return dict(known)


def read_picture(file: Path) -> Array:
    """An 8-bit picture as RGB ``(H, W, 3)``, turned by its Exif orientation; opacity is dropped."""
    from PIL import Image, ImageOps

    if not file.is_file():  # a pipe would be waited for
        raise ModelError(f"{file}: must be an existing file")
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ModelError(f"{file}: must have at most {MAX_PIXELS} pixels, got {picture.width}x{picture.height}")
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            if picture.mode not in PILLOW_MODES:
                raise ModelError(f"{file}: must have 8 bits a channel, got {picture.mode}. Save it as 8-bit PNG")
            opaque = picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info
            return np.ascontiguousarray(np.asarray(picture.convert("RGB" if opaque else "RGBA"))[..., :3])
    except ModelError:
        raise
    except Exception as error:  # Pillow raises many kinds
        raise ModelError(f"{file}: must be a readable picture, got {error}") from error


class Model:
    """An exported folder, ready to segment.

    Args:
        folder: folder of the model.

    Raises:
        ModelError: when the folder is damaged, of another version, or its runtime is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        self.run = _open(self.folder, self.description)

    def __call__(self, image: Array) -> tuple[Array, Array]:
        """Mask (uint8, 0 and 1) and probability (float32), each ``(H, W)``, of a uint8 picture ``(H, W, 3)``."""
        return self.judged(image)[:2]

    def judged(self, image: Array) -> tuple[Array, Array, Judgement | None]:
        """Mask, empty where nothing is found, probability, and the judgement; None of a model without calibration."""
        mask, probability, scores = self.found(image)
        calibration = self.description["calibration"]
        if calibration is None:
            return mask, probability, None
        features = describe_picture(image)
        if calibration["signal"] == "views":
            signals = signals_of_views(mask, image, lambda picture: self.found(picture)[0], features)
        elif scores is None:
            raise ModelError(f"{self.folder}: the network must give the scores that it was calibrated by, got none")
        else:
            signals = signals_of(scores, features)
        judgement = judge(calibration, signals, found=bool(mask.any()))
        if judgement.decision == "nothing found":
            mask = np.zeros_like(mask)
        return mask, probability, judgement

    def found(self, image: Array) -> tuple[Array, Array, Array | None]:
        """Mask as the network draws it, probability, and its scores if it has any."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ModelError(f"image: must be unsigned 8-bit (H, W, 3), got {image.dtype} {image.shape}")
        known = self.description
        if known["end_to_end"]:
            mask, probability, *scores = self.run(image)
            self._check_finite(probability, *scores)
            return clean(mask, known["keep"]), probability, scores[0] if scores else None
        logits, *scores = self.run(before(image, known["input_size"]))
        self._check_finite(logits, *scores)
        steps = {name: known[name] for name in ("threshold", "keep", "order")}
        return *after(logits, image.shape[:2], **steps), scores[0] if scores else None

    def _check_finite(self, *outputs: Array) -> None:
        if not all(np.isfinite(each).all() for each in outputs):
            raise ModelError(f"{self.folder}: the network must give numbers, got NaN or infinity")


def _open(folder: Path, description: dict[str, Any]) -> Callable[[Array], list[Array]]:
    kind = description["format"]
    path = str(folder / FILES[kind])
    try:
        return OPENERS[kind](path, description["precision"])
    except ImportError as error:
        fix = f"pip install -r {folder / 'requirements.txt'}"
        raise ModelError(f"{path}: the runtime must be installed, got {error}. {fix}") from error
    except Exception as error:  # runtimes raise many kinds
        raise ModelError(f"{path}: must be a model that its runtime can run, got {error}") from error


def _onnx(path: str, precision: str) -> Callable[[Array], list[Array]]:
    session = open_onnx(path)
    name = session.get_inputs()[0].name
    return lambda image: list(session.run(None, {name: image}))


def _openvino(path: str, precision: str) -> Callable[[Array], list[Array]]:
    model = open_openvino(path, precision=precision)

    def run(image: Array) -> list[Array]:
        results = model([image])
        return [np.array(results[output]) for output in model.outputs]

    return run


def _torchscript(path: str, precision: str) -> Callable[[Array], list[Array]]:
    import torch

    model = open_torchscript(path)

    def run(image: Array) -> list[Array]:
        with torch.inference_mode():
            results = model(torch.from_numpy(image))
        return [each.numpy() for each in (results if isinstance(results, tuple) else [results])]

    return run


FILES = {"onnx": "model.onnx", "openvino": "model.xml", "torchscript": "model.pt"}
OPENERS = {"onnx": _onnx, "openvino": _openvino, "torchscript": _torchscript}


def main() -> None:
    """Segment one picture."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG, JPEG, BMP or TIFF with 8 bits a channel")
    parser.add_argument("mask", type=Path, help="PNG to write")
    parser.add_argument("--probability", type=Path, help="file to write, float32, .npy")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent, help="folder of the model; this file's")
    options = parser.parse_args()
    try:
        mask, probability, judgement = Model(options.model).judged(read_picture(options.picture))
    except ModelError as error:
        sys.exit(f"error: {error}")
    if judgement is not None:
        print(judgement.decision + ("" if judgement.trust is None else f", trust {judgement.trust:.2f}"))
    Image.fromarray(mask * np.uint8(255)).save(options.mask, format="PNG")
    if options.probability:
        np.save(options.probability, probability)


if __name__ == "__main__":
    main()
