"""The options by which every command that segments is told its network; the heavy imports wait until it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_lesion.errors import InputError

if TYPE_CHECKING:
    from monai_lesion.inference import LesionSegmenter

BUNDLE = Path("bundles/lighter_unet")


class SegType(str, Enum):
    """Types of DICOM SEG that are written."""

    BINARY = "binary"
    LABELMAP = "labelmap"


Bundle = Annotated[Path, typer.Option(help="Folder of the bundle.")]
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
    bundle: Path,
    *,
    weights: Path | None = None,
    published: Path | None = None,
    device: str | None = None,
    settings: Sequence[str] | None = None,
    crop: bool = False,
    runtime: str | None = None,
    precision: str | None = None,
) -> LesionSegmenter:
    """The segmenter that the options describe.

    Raises:
        InputError: for a setting that is no ``key=value``, or as ``LesionSegmenter.from_bundle``.
    """
    overrides = assignments(settings)
    from monai_lesion.inference import LesionSegmenter

    if published is not None:
        return LesionSegmenter.from_published(published, device=device, crop=crop, runtime=runtime, precision=precision)
    return LesionSegmenter.from_bundle(
        bundle,
        weights=weights,
        device=device,
        overrides=overrides,
        crop=crop,
        runtime=runtime,
        precision=precision,
    )


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
