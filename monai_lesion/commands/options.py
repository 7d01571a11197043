"""The options by which every command that segments is told its network; the heavy imports wait until it runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_lesion.errors import InputError
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.models.presets import Preset, load_preset, preset_names

if TYPE_CHECKING:
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
    from monai_lesion.segmentation.segmenters import Segmenter

logger = logging.getLogger(__name__)
BUNDLE = bundle_folder()
RUNTIMES = ("torch", "torch-compile", "onnx", "openvino", "auto")  # any other name is a folder's


class SegType(str, Enum):
    """Types of DICOM SEG that are written."""

    BINARY = "binary"
    LABELMAP = "labelmap"


Bundle = Annotated[
    Path | None,
    typer.Option(help="Folder of the bundle, or pocket, the network that comes with the package; what there is."),
]
BundleFolder = Annotated[Path, typer.Option("--bundle", help="Folder of the bundle.", show_default="the package's own")]
Weights = Annotated[Path | None, typer.Option(help="Weights; models/model.pt of the bundle.")]
Published = Annotated[Path | None, typer.Option(help="Checkpoint that the paper's authors released.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda ...; CUDA where there is one.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Config value of the bundle: network_def#group_size=16.")
]
Crop = Annotated[
    bool, typer.Option("--crop/--no-crop", help="Show the network only the tissue region of a DICOM file.")
]
SegKind = Annotated[
    SegType, typer.Option("--seg-type", help="Of the DICOM SEG; labelmap (DICOM 2024) is known to fewer viewers.")
]

RuntimeName = Annotated[
    str | None,
    typer.Option(
        "--runtime", help="torch, torch-compile, onnx, openvino, auto, or an exported folder; the network as trained."
    ),
]
Precision = Annotated[str | None, typer.Option(help="Of --runtime: fp32, bf16 or int8; fp32, of auto any.")]


def open_segmenter(
    bundle: Path | None,
    *,
    weights: Path | None = None,
    published: Path | None = None,
    device: str | None = None,
    settings: Sequence[str] | None = None,
    crop: bool = False,
    runtime: str | None = None,
    precision: str | None = None,
) -> Segmenter:
    """The segmenter that the options describe.

    Without PyTorch and MONAI where an exported folder is the runtime and nothing else is named, and where the model
    that ONNX Runtime or OpenVINO is to run was kept by an earlier run.

    Raises:
        InputError: for a setting that is no ``key=value``, or as :func:`chosen_preset` and
            ``LesionSegmenter.from_bundle``.
    """
    overrides = assignments(settings)
    named = any(option is not None for option in (bundle, weights, published)) or overrides
    if runtime is not None and runtime not in RUNTIMES and not named and (Path(runtime) / "model.json").is_file():
        from monai_lesion.segmentation.exported import ExportedSegmenter

        return ExportedSegmenter(runtime, crop=crop, precision=precision, device=device)
    options: dict[str, Any] = {"bundle": bundle, "weights": weights, "published": published, "settings": settings}
    if runtime is not None and published is None:
        from monai_lesion.segmentation.kept_models import bundle_facts, can_be_kept, open_kept, preset_facts

        preset, name = chosen_preset(bundle, weights, settings), runtime
        options["preset"] = preset

        def facts() -> dict[str, Any] | None:
            if preset is not None:
                return preset_facts(preset.name, name)
            return bundle_facts(bundle or BUNDLE, weights, overrides, name)

        if can_be_kept(runtime, precision, device):
            kept = open_kept(facts, lambda: open_network(**options, device="cpu"), crop=crop, precision=precision)
            if kept is not None:
                return kept
    return open_network(**options, device=device, crop=crop, runtime=runtime, precision=precision)


def open_network(
    bundle: Path | None,
    *,
    weights: Path | None = None,
    published: Path | None = None,
    device: str | None = None,
    settings: Sequence[str] | None = None,
    crop: bool = False,
    runtime: str | None = None,
    precision: str | None = None,
    preset: Preset | None = None,
) -> LesionSegmenter:
    """As :func:`open_segmenter`, with the network itself, in PyTorch; a preset that was chosen already is taken.

    Raises:
        InputError: as :func:`open_segmenter`.
    """
    overrides = assignments(settings)
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

    if published is not None:
        return LesionSegmenter.from_published(published, device=device, crop=crop, runtime=runtime, precision=precision)
    if preset := preset or chosen_preset(bundle, weights, settings):
        return LesionSegmenter.from_preset(preset.name, device=device, crop=crop, runtime=runtime, precision=precision)
    return LesionSegmenter.from_bundle(
        bundle or BUNDLE,
        weights=weights,
        device=device,
        overrides=overrides,
        crop=crop,
        runtime=runtime,
        precision=precision,
    )


def chosen_preset(bundle: Path | None, weights: Path | None, settings: Sequence[str] | None) -> Preset | None:
    """The preset that is named in place of a bundle, or stands in where nothing is named and nothing was trained.

    Raises:
        InputError: when weights or config values are given for a preset, which has its own.
    """
    own = BUNDLE / "models" / "model.pt"
    if bundle is None:
        if weights is not None or settings or own.is_file():
            return None
        preset = load_preset()
        _tell(f"network: preset {preset.name}, for there is no {own}. Research use only; its limits: {preset.card}")
        return preset
    if str(bundle) not in preset_names() or bundle.is_dir():
        return None
    if weights is not None or settings:
        fix = f"For others name the bundle: --bundle {BUNDLE}"
        raise InputError("--bundle", "a preset has its own weights and settings", got=bundle, fix=fix)
    return load_preset(str(bundle))


@cache
def _tell(text: str) -> None:
    """Log what a command asks for more than once, once."""
    logger.info(text)


def assignments(settings: Sequence[str] | None) -> dict[str, Any]:
    """The config values of ``--set`` options.

    Raises:
        InputError: for a text that is no ``key=value``.

    Example:
        >>> assignments(["network_def#group_size=16"])
        {'network_def#group_size': 16}
    """
    return dict(_assignment(text) for text in settings or ())


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("--set", "must be key=value", got=text, fix="For example --set network_def#group_size=16")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
