"""Segment a picture with the model that lies beside this file: one runtime, numpy and pillow; no MONAI.

    pip install -r requirements.txt
    python client.py picture.png mask.png [--probability probability.npy]

The mask has the picture's rows and columns, 255 in the lesion and 0 elsewhere. Research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 2  # of model.json
PILLOW_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # 8-bit


class ModelError(ValueError):
    """A model folder or a picture that cannot be used."""


def read_description(folder: Path) -> dict[str, Any]:
    """``model.json`` of an exported folder, after a check that the model files are those that were exported.

    Raises:
        ModelError: when it is missing, of another version, or a file was changed.
    """
    file = folder / "model.json"
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        schema = description["schema"]
        hashes = dict(description["file_sha256"]) if schema == SCHEMA else {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{file}: must be the description that monai-lesion export wrote, got {error}") from error
    if schema != SCHEMA:
        raise ModelError(f"{file}: must have schema {SCHEMA}, got {schema}. Export the network again")
    for name, expected in hashes.items():
        part = folder / name
        if not part.is_file() or hashlib.sha256(part.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{part}: must be the file that was exported, got another or none. Copy the folder again")
    return dict(description)


def read_picture(file: Path) -> np.ndarray[Any, Any]:
    """An 8-bit picture as RGB ``(H, W, 3)``, turned by its Exif orientation; opacity is dropped."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as picture:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            if picture.mode not in PILLOW_MODES:
                raise ModelError(f"{file}: must have 8 bits a channel, got {picture.mode}. Save it as 8-bit PNG")
            opaque = picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info
            return np.ascontiguousarray(np.asarray(picture.convert("RGB" if opaque else "RGBA"))[..., :3])
    except (OSError, SyntaxError) as error:
        raise ModelError(f"{file}: must be a readable picture, got {error}") from error


def resize(image: np.ndarray[Any, Any], rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Bilinear, pixel centres aligned, not smoothed first: PyTorch's ``interpolate``, step by step in float32.

    Args:
        image: float32 or uint8 ``(C, H, W)``.
        rows: wanted.
        columns: wanted.
    """
    top, bottom, down = _neighbours(image.shape[1], rows)
    left, right, across = _neighbours(image.shape[2], columns)
    needed, places = np.unique(np.concatenate([top, bottom]), return_inverse=True)
    if len(needed) < image.shape[1]:
        image, top, bottom = image[:, needed], places[:rows], places[rows:]
    # Each source row across once, however many target rows lie between it and the next.
    wide = image.take(left, axis=2) * (1 - across)
    wide += image.take(right, axis=2) * across
    upper, lower = wide.take(top, axis=1), wide.take(bottom, axis=1)
    upper *= (1 - down)[:, None]
    lower *= down[:, None]
    upper += lower
    return np.asarray(upper)


def _neighbours(size: int, target: int) -> tuple[Any, Any, Any]:
    scale = float(np.float32(size) / np.float32(target))
    # In double precision, then rounded once, as the fused multiply-add that PyTorch is built with.
    place = np.maximum((scale * (np.arange(target) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), place - first.astype(np.float32)


def clean(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The largest component of a mask ``(H, W)``, its holes filled; neighbours touch by an edge or a corner."""
    cleaned = np.zeros(mask.shape, np.uint8)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        # Column by column, as MONAI's masks lie, which decides between components of one size.
        cleaned[box] = _clean(np.ascontiguousarray(mask[box].T, bool)).T
    return cleaned


def _clean(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lines, starts, stops, roots = _components(mask)
    names, numbers = np.unique(roots, return_inverse=True)
    # Of components of one size the one that MONAI's sort puts last: sorted alike, the background first.
    counts = np.bincount(np.repeat(numbers + 1, stops - starts))
    largest = names[np.argsort(counts)[-1] - 1]
    outside = ~np.pad(_paint(mask.shape, lines, starts, stops, roots == largest), 1)
    lines, starts, stops, roots = _components(outside)
    outside = _paint(outside.shape, lines, starts, stops, roots == roots[0])
    return np.asarray(~outside[1:-1, 1:-1])


def _components(mask: np.ndarray[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """The runs of True in each line, and the number of the first run that each is connected to."""
    framed = np.pad(mask, ((0, 0), (1, 1)))
    lines, ends = np.divmod(np.flatnonzero(framed[:, 1:] != framed[:, :-1]), mask.shape[1] + 1)
    lines, starts, stops = lines[::2], ends[::2], ends[1::2]
    # The runs of the line above that one touches, by an edge or a corner, lie beside each other.
    width = mask.shape[1] + 2
    first = np.searchsorted(lines * width + stops, (lines - 1) * width + starts)
    counts = np.searchsorted(lines * width + starts, (lines - 1) * width + stops, side="right") - first
    below = np.repeat(np.arange(len(lines)), counts)
    above = np.arange(len(below)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    roots = np.arange(len(lines))
    while True:
        linked, one, other = roots.copy(), roots[below], roots[above]
        np.minimum.at(linked, np.maximum(one, other), np.minimum(one, other))
        while (linked != linked[linked]).any():
            linked = linked[linked]
        if (linked == roots).all():
            return lines, starts, stops, roots
        roots = linked


def _paint(shape: Iterable[int], lines: Any, starts: Any, stops: Any, chosen: Any) -> np.ndarray[Any, Any]:
    rows, columns = shape
    steps = np.zeros((rows, columns + 1), np.int8)
    steps[lines[chosen], starts[chosen]] += 1
    steps[lines[chosen], stops[chosen]] -= 1
    return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool)


def before(image: np.ndarray[Any, Any], size: Iterable[int]) -> np.ndarray[Any, Any]:
    """The network's input, float32 ``(1, 3, rows, columns)`` in 0-1, of a uint8 picture ``(H, W, 3)``."""
    pixels = resize(np.ascontiguousarray(image.transpose(2, 0, 1)), *size)
    np.round(pixels, out=pixels)
    np.clip(pixels, 0, 255, out=pixels)
    return np.asarray(np.divide(pixels, np.float32(255), out=pixels)[None])


def after(
    logits: np.ndarray[Any, Any], size: Iterable[int], threshold: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mask (uint8, 0 and 1) and probability (float32) of a size, of logits ``(1, 1, rows, columns)``."""
    with np.errstate(over="ignore"):  # infinity gives the 0 that is meant
        probability = resize(1 / (1 + np.exp(-logits[0])), *size)[0]
    return clean(probability >= np.float32(threshold)), probability


class Model:
    """An exported folder, ready to segment.

    Args:
        folder: of the model.

    Raises:
        ModelError: when the folder is damaged, of another version, or its runtime is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        self.run = _open(self.folder, self.description)

    def __call__(self, image: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Mask (uint8, 0 and 1) and probability (float32), each ``(H, W)``, of a uint8 picture ``(H, W, 3)``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ModelError(f"image: must be unsigned 8-bit (H, W, 3), got {image.dtype} {image.shape}")
        if self.description["end_to_end"]:
            mask, probability = self.run(image)
        else:
            logits = self.run(before(image, self.description["spatial_size"]))[0]
            return after(logits, image.shape[:2], self.description["threshold"])
        return clean(mask), probability


def _open(folder: Path, description: dict[str, Any]) -> Callable[[Any], list[Any]]:
    kind, path = description["format"], str(folder / description["model"])
    try:
        return OPENERS[kind](path, description)
    except ImportError as error:
        fix = f"pip install -r {folder / 'requirements.txt'}"
        raise ModelError(f"{path}: the runtime must be installed, got {error}. {fix}") from error


def _open_onnx(path: str, description: dict[str, Any]) -> Callable[[Any], list[Any]]:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: list(session.run(None, {name: image}))


def _open_openvino(path: str, description: dict[str, Any]) -> Callable[[Any], list[Any]]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # which would report the use
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32"} if description["precision"] == "fp32" else {}
    model = openvino.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY", **hints})

    def run(image: Any) -> list[Any]:
        results = model([image])
        return [np.array(results[output]) for output in model.outputs]

    return run


def _open_torchscript(path: str, description: dict[str, Any]) -> Callable[[Any], list[Any]]:
    import torch

    model = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(image: Any) -> list[Any]:
        with torch.inference_mode():
            results = model(torch.from_numpy(image))
        return [each.numpy() for each in (results if isinstance(results, tuple) else [results])]

    return run


OPENERS = {"onnx": _open_onnx, "openvino": _open_openvino, "torchscript": _open_torchscript}


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
        mask, probability = Model(options.model)(read_picture(options.picture))
    except ModelError as error:
        sys.exit(f"error: {error}")
    Image.fromarray(mask * np.uint8(255)).save(options.mask, format="PNG")
    if options.probability:
        np.save(options.probability, probability)


if __name__ == "__main__":
    main()
