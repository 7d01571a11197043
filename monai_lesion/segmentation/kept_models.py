"""Converted models in the cache, found again without PyTorch: a second ``predict --runtime openvino`` starts at once.

::

    weights, bundle, options, versions -- key -- in the cache: ExportedSegmenter
    not there: LesionSegmenter -- convert -- cache -- ExportedSegmenter
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion._version import __version__
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256
from monai_lesion.machine.packages import versions
from monai_lesion.models.presets import load_preset
from monai_lesion.runtimes.caches import kept, kept_folder
from monai_lesion.segmentation.exported import ExportedSegmenter

if TYPE_CHECKING:
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

logger = logging.getLogger(__name__)
PRECISIONS: dict[str, tuple[str | None, ...]] = {"onnx": (None, "fp32"), "openvino": (None, "fp32", "bf16")}
_PACKAGE = Path(__file__).parents[1]
_STEPS = ("network_def", "preprocessing", "postprocessing", "spatial_size", "threshold", "order")


def bundle_facts(
    bundle: Path, weights: Path | None, overrides: Mapping[str, Any] | None, runtime: str
) -> dict[str, Any] | None:
    """All that decides the converted model of a bundle, read without PyTorch; None where that cannot be told.

    Args:
        bundle: folder of the bundle.
        weights: file of the weights; None takes ``models/model.pt``.
        overrides: config values.
        runtime: ``"onnx"`` or ``"openvino"``.
    """
    config, file = bundle / "configs" / "inference.json", weights or bundle / "models" / "model.pt"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        metadata = bundle / "configs" / "metadata.json"
        if not _plain(content, overrides or {}):
            return None
        return {
            **_common(runtime),
            "weights": file_sha256(file),
            "config": file_sha256(config),
            "metadata": file_sha256(metadata) if metadata.is_file() else None,
            "overrides": dict(overrides or {}),
        }
    except (OSError, ValueError, AttributeError):  # the ordinary path says what is wrong
        return None


def preset_facts(name: str, runtime: str) -> dict[str, Any]:
    """All that decides the converted model of a preset.

    Args:
        name: of :func:`monai_lesion.models.presets.preset_names`.
        runtime: ``"onnx"`` or ``"openvino"``.
    """
    preset = load_preset(name)
    return {
        **_common(runtime),
        "preset": name,
        "weights": file_sha256(preset.weights),
        "overrides": preset.overrides,
    }


def _common(runtime: str) -> dict[str, Any]:
    return {
        "kind": "converted model",
        "runtime": runtime,
        "software": __version__,
        "sources": _sources(),  # a change of the code is no change of the version
        "python": list(sys.version_info[:3]),
        "packages": versions(["numpy", "torch", "monai", "onnx", "onnxruntime", "openvino"]),
    }


def _plain(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> bool:
    """Whether text alone decides network and transforms: no expression, no other file, no class from elsewhere."""
    if any(key.replace("::", "#").split("#")[0] not in _STEPS for key in overrides):
        return False
    changed = [{key.replace("::", "#").split("#")[-1]: value} for key, value in overrides.items()]
    for name, text in _texts([*(content.get(step) for step in _STEPS), changed]):
        if name == "_target_" or "_target_" in text:
            if not text.startswith("monai_lesion."):
                return False
        elif text.startswith(("$", "%")) or (text.startswith("@") and text[1:] not in _STEPS):
            return False
    return True


def _texts(part: Any, name: str = "") -> list[tuple[str, str]]:
    """Every text below a config value, with the key that it stands under."""
    if isinstance(part, Mapping):
        return [pair for key, value in part.items() for pair in _texts(value, str(key))]
    if isinstance(part, (list, tuple)):
        return [pair for value in part for pair in _texts(value, name)]
    return [(name, part)] if isinstance(part, str) else []


def _sources() -> str:
    """Hash of this package's own code."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{file.relative_to(_PACKAGE).as_posix()} {file.stat().st_size} ".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def open_kept(
    facts: Callable[[], Mapping[str, Any] | None],
    make: Callable[[], LesionSegmenter],
    *,
    crop: bool = False,
    precision: str | None = None,
) -> ExportedSegmenter | None:
    """The converted model of some facts: out of the cache, or converted into it now.

    The first run also segments with what it kept, so that every run gives the same.

    Args:
        facts: gives those of the files as they are, or None where nothing may be kept.
        make: loads the network from the same files, without a runtime.
        crop: as of :class:`~monai_lesion.segmentation.exported.ExportedSegmenter`.
        precision: of the runtime.

    Returns:
        The segmenter; None where only :class:`~monai_lesion.LesionSegmenter` can do what is asked.

    Raises:
        InputError: when a package is missing, or the network cannot be loaded or converted.
    """
    known = facts()
    if known is None:
        return None
    folder = kept(known)
    if folder is None:
        segmenter = make()
        from monai_lesion.networks.identity import is_ours
        from monai_lesion.segmentation.exports import write_model

        if segmenter.recipe is None or not is_ours(segmenter.network) or facts() != known:
            return None  # the last when a training has written new weights meanwhile
        logger.info("converting the network for %s; kept for the next run", known["runtime"])
        try:
            folder = kept_folder(known, lambda partial: write_model(segmenter, partial, format=known["runtime"]))
        except InputError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            logger.warning("%s: the network is converted in every run", error)
            return None
    return ExportedSegmenter(folder, crop=crop, precision=precision)


def can_be_kept(runtime: str | None, precision: str | None, device: str | None) -> bool:
    """Whether a runtime runs a converted float32 model: ``auto`` measures, int8 needs pictures.

    Example:
        >>> can_be_kept("openvino", "bf16", None), can_be_kept("onnx", "int8", None), can_be_kept("auto", None, None)
        (True, False, False)
    """
    return precision in PRECISIONS.get(runtime or "", ()) and device in (None, "cpu")
