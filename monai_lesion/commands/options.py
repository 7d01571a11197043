"""The options that several commands share, as dataclasses; the heavy imports wait until a command runs."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_lesion.errors import InputError
from monai_lesion.models.bundles import bundle_folder

if TYPE_CHECKING:
    from monai_lesion.models.folders import ModelFolder
    from monai_lesion.segmentation.segmenters import Segmenter

BUNDLE = bundle_folder()


class SegType(str, Enum):
    """Types of DICOM Segmentation to write."""

    BINARY = "binary"
    LABELMAP = "labelmap"


class SegGeometry(str, Enum):
    """What a DICOM Segmentation says of its place."""

    NONE = "none"
    PICTURE = "picture"


BundleFolder = Annotated[
    Path, typer.Option("--bundle", help="Folder of the bundle.", show_default="the bundle of this package")
]
Weights = Annotated[Path | None, typer.Option(help="Weights to load.", show_default="models/model.pt of the bundle")]
SegKind = Annotated[
    SegType, typer.Option("--seg-type", help="Type of DICOM Segmentation; fewer viewers know labelmap (DICOM 2024).")
]
SegPlace = Annotated[
    SegGeometry,
    typer.Option("--seg-geometry", help="picture: a geometry of the picture's own for dcmqi and 3D Slicer."),
]


@dataclass(frozen=True)
class BundleOptions:
    """Which network to use: a bundle with its weights, a model folder, or a network of the package."""

    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Network to use: folder of a bundle or model, or the name of a network that comes with the package. "
            "A bundle is code and is run: open one from elsewhere with --no-code.",
            show_default="clinic",
        ),
    ] = None
    weights: Weights = None
    code: Annotated[
        bool,
        typer.Option(
            "--code/--no-code",
            help="Run what a bundle brings; otherwise open a model folder, or one of our networks with plain values.",
        ),
    ] = True
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a config value of the bundle: network_def#group_size=16. May be repeated."),
    ] = None


@dataclass(frozen=True)
class TrainedOptions(BundleOptions):
    """Which network to use, including the checkpoints that the paper's authors released."""

    published: Annotated[Path | None, typer.Option(help="Use a checkpoint that the paper's authors released.")] = None


@dataclass(frozen=True)
class NetworkOptions(TrainedOptions):
    """Which network to use and how to run it."""

    device: Annotated[str | None, typer.Option(help="Where to run: cpu, cuda ...", show_default="cpu")] = None
    runtime: Annotated[
        str | None,
        typer.Option(
            help="What runs the network: onnx, openvino, torch, torch-compile, auto, or a model folder.",
            show_default="onnx",
        ),
    ] = None
    precision: Annotated[
        str | None, typer.Option(help="Precision to compute in: fp32, bf16 or int8.", show_default="the model's own")
    ] = None
    crop: Annotated[
        bool, typer.Option("--crop/--no-crop", help="Show the network only the tissue region of a DICOM image, or all.")
    ] = True
    views: Annotated[
        int, typer.Option(help="Views of each picture to average: 1, 2 (mirrored too) or 4 (and upside down).")
    ] = 1
    group: Annotated[
        str | None,
        typer.Option(
            help="Group, such as a scanner, that the network was calibrated for and whose intervals to give.",
            show_default="the scanner in the DICOM header",
        ),
    ] = None


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Spread the fields of a command's dataclass of options over its signature, so that typer sees them as options.

    Args:
        command: a function one keyword of which has a dataclass of options as its type.
    """
    own = inspect.signature(command, eval_str=True)
    (spread,) = (each for each in own.parameters.values() if is_dataclass(each.annotation))
    kind: Any = spread.annotation
    options = inspect.signature(kind, eval_str=True).parameters

    @wraps(command)
    def called(**values: Any) -> Any:
        chosen = kind(**{name: values.pop(name) for name in options})
        return command(**{spread.name: chosen}, **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    before = [each for each in own.parameters.values() if each is not spread]
    parameters = [each.replace(kind=keyword) for each in (*before, *options.values())]
    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def open_segmenter(options: TrainedOptions, *, runtime: str | None = None) -> Segmenter:
    """Open the segmenter that the options describe; a model folder needs neither PyTorch nor MONAI.

    Args:
        options: what the user chose.
        runtime: overrides the runtime of the options, for a command without that option.

    Raises:
        InputError: when a setting is not a ``key=value``, when :func:`chosen_preset` refuses the options, or when
            :class:`~monai_lesion.LesionSegmenter` cannot be made.
    """
    from dataclasses import replace

    from monai_lesion.segmentation.lesion_segmenters import Execution, LesionSegmenter

    parts = {each.name for each in fields(options)} & {
        "device",
        "runtime",
        "precision",
        "crop",
        "views",
        "group",
        "code",
    }
    execution = Execution(**{name: getattr(options, name) for name in parts})
    if runtime is not None:
        execution = replace(execution, runtime=runtime, device="cpu")
    if options.published is not None:
        return LesionSegmenter.from_published(options.published, execution=execution)
    overrides = assignments(options.settings)
    if options.bundle is None and execution.folder is not None and options.weights is None and not overrides:
        return LesionSegmenter.from_model(execution.folder, execution=replace(execution, runtime=None))
    if (preset := chosen_preset(options)) is not None:
        return LesionSegmenter(preset, execution=execution)
    return LesionSegmenter.from_bundle(
        options.bundle or BUNDLE, weights=options.weights, overrides=overrides, execution=execution
    )


def chosen_preset(options: BundleOptions) -> ModelFolder | None:
    """Find the network of the package that the user named, or the default one when no bundle was named.

    The working folder never decides: a bundle in it is used only when it is named.

    Returns:
        The preset, or None when the user named a bundle.

    Raises:
        InputError: when weights or config values are given for a preset, which has its own.
    """
    from monai_lesion.models.presets import DEFAULT, load_preset, preset_names

    bundle = options.bundle
    if bundle is not None and (str(bundle) not in preset_names() or bundle.is_dir()):
        return None
    if bundle is None and options.weights is not None:  # a model.pt tells its network and input size
        return None
    name = DEFAULT if bundle is None else str(bundle)
    if options.weights is not None or options.settings:
        fix = f"To use others, name the bundle: --bundle {BUNDLE}"
        if options.weights is not None:
            fix = f"Name the folder of your weights instead: --bundle {options.weights.parent}"
        raise InputError("--bundle", "a preset has its own weights and settings", got=name, fix=fix)
    return load_preset(name)


def assignments(settings: Sequence[str] | None) -> dict[str, Any]:
    """Parse the config values of ``--set`` options.

    Raises:
        InputError: when a text is not a ``key=value``.

    Example:
        >>> assignments(["network_def#group_size=16"])
        {'network_def#group_size': 16}
    """
    return dict(_assignment(text) for text in settings or ())


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("--set", "must be key=value", got=text, fix="For example --set network_def#group_size=16")
    for read in (json.loads, ast.literal_eval):  # the second as `python -m monai.bundle run` reads it
        try:
            return key, read(value)
        except (ValueError, SyntaxError):
            continue
    return key, value
