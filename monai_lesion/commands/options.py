"""The options that several commands share, as dataclasses; the heavy imports wait until a command runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
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
    """Types of DICOM SEG that are written."""

    BINARY = "binary"
    LABELMAP = "labelmap"


BundleFolder = Annotated[Path, typer.Option("--bundle", help="Folder of the bundle.", show_default="the package's own")]
Weights = Annotated[Path | None, typer.Option(help="File of the weights; by default the bundle's models/model.pt.")]
SegKind = Annotated[
    SegType, typer.Option("--seg-type", help="Of the DICOM SEG; labelmap (DICOM 2024) is known to fewer viewers.")
]


@dataclass(frozen=True)
class BundleOptions:
    """Which network: of a bundle with its weights, or one that comes with the package."""

    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of a bundle or a model, or the name of a network of the package; pocket by default."),
    ] = None
    weights: Weights = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Config value of the bundle: network_def#group_size=16.")
    ] = None


@dataclass(frozen=True)
class TrainedOptions(BundleOptions):
    """Which network, the paper's own checkpoints among them."""

    published: Annotated[Path | None, typer.Option(help="Checkpoint that the paper's authors released.")] = None


@dataclass(frozen=True)
class NetworkOptions(TrainedOptions):
    """Which network, and how it is run."""

    device: Annotated[str | None, typer.Option(help="cpu, cuda ...; the CPU by default.")] = None
    runtime: Annotated[
        str | None,
        typer.Option(help="onnx, openvino, torch, torch-compile, auto, or a model folder; onnx by default."),
    ] = None
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or int8; the model's own by default.")] = None
    crop: Annotated[
        bool, typer.Option("--crop/--no-crop", help="Show the network only the tissue region of a DICOM file.")
    ] = False


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Spread a command's parameter ``network``, a dataclass of options, over its signature, for typer to read.

    Args:
        command: has the keyword ``network`` with one of the dataclasses above as its type.
    """
    own = inspect.signature(command, eval_str=True)
    kind = own.parameters["network"].annotation
    options = inspect.signature(kind, eval_str=True).parameters

    @wraps(command)
    def called(**values: Any) -> Any:
        return command(network=kind(**{name: values.pop(name) for name in options}), **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    before = [each for each in own.parameters.values() if each.name != "network"]
    parameters = [each.replace(kind=keyword) for each in (*before, *options.values())]
    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def open_segmenter(options: TrainedOptions, *, runtime: str | None = None) -> Segmenter:
    """The segmenter that the options describe; without PyTorch and MONAI where a model folder is opened.

    Args:
        options: of the command.
        runtime: in place of theirs, for a command that has no such option.

    Raises:
        InputError: for a setting that is no ``key=value``, as :func:`chosen_preset`, and as the constructors of
            :class:`~monai_lesion.LesionSegmenter`.
    """
    from dataclasses import replace

    from monai_lesion.segmentation.lesion_segmenters import Execution, LesionSegmenter

    parts = {each.name for each in fields(options)} & {"device", "runtime", "precision", "crop"}
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
    """The network of the package that is named in place of a bundle, or that stands in where nothing is named.

    The working folder decides nothing: a bundle is named.

    Raises:
        InputError: when weights or config values are given for a preset, which has its own.
    """
    from monai_lesion.models.presets import DEFAULT, load_preset, preset_names

    bundle = options.bundle
    if bundle is not None and (str(bundle) not in preset_names() or bundle.is_dir()):
        return None
    name = DEFAULT if bundle is None else str(bundle)
    if options.weights is not None or options.settings:
        fix = f"For others name the bundle: --bundle {BUNDLE}"
        raise InputError("--bundle", "a preset has its own weights and settings", got=name, fix=fix)
    return load_preset(name)


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
