"""The command `export`; heavy imports wait until it runs."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lesion.commands.options import TrainedOptions, chosen_preset, open_segmenter, shared
from monai_lesion.errors import InputError

if TYPE_CHECKING:
    from monai_lesion.models.folders import ModelFolder


class Format(str, Enum):
    """Formats of exported models."""

    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"
    OPENVINO = "openvino"
    PAGE = "page"


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(shared(export))


def export(
    *,
    format: Annotated[Format, typer.Option(help="Format of the exported model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    int8: Annotated[
        Path | None,
        typer.Option(help="Write an int8 model, calibrated on the training and validation splits of this manifest."),
    ] = None,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end",
            help="Build pre- and post-processing into the model: it takes a uint8 picture of any size and returns "
            "mask and probability in that size.",
        ),
    ] = False,
    network: TrainedOptions,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Manifest of the images on which the exported model is compared with the library.",
            show_default="the validation split of --int8, or simulated cases",
        ),
    ] = None,
    dataset_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that the paths in both manifests start from.", show_default="the manifest's folder"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --manifest to use.")] = "test",
    cases: Annotated[int, typer.Option(help="Cases to simulate when you give no manifest, two views each.")] = 8,
    dice_tolerance: Annotated[float, typer.Option(help="How much Dice the exported model may lose.")] = 0.002,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for model.json.", show_default="the model folder's")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights in half precision; for ONNX in fp32 only.")
    ] = False,
) -> None:
    """Export a network to a folder that runs without this package.

    Compares the exported model with the library first, and fails when the masks differ. The format "page" is a web
    page that runs the network in the reader's browser, for any web server.
    """
    from tempfile import TemporaryDirectory

    from monai_lesion.models.folders import read_model
    from monai_lesion.page.files import check_output, write_page

    page = format is Format.PAGE
    if page:
        if end_to_end:
            raise InputError("--end-to-end", "is not for a page, which takes these steps itself", fix="Leave it out")
        check_output(output)
        finished = None if int8 is not None or half or licence is not None else _finished(network)
        if finished is not None:
            typer.echo(f"{write_page(output, [finished])}: the page, with {finished.description.name}")
            return
    from monai_lesion.runtimes.quantization import calibration_images
    from monai_lesion.segmentation.exports import export_model
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
    from monai_lesion.segmentation.parity import of_manifest, simulated

    segmenter = open_segmenter(network, runtime="torch")
    if not isinstance(segmenter, LesionSegmenter):
        raise InputError(
            "export", "works only with the steps of monai_lesion.pipeline", got="other transforms in the bundle"
        )
    calibration = None
    if int8 is not None:
        calibration = calibration_images(int8, dataset_dir, spatial_size=segmenter.steps.input_size)
    if manifest is not None:
        pictures = of_manifest(manifest, dataset_dir, split=split)
    elif int8 is not None:
        pictures = of_manifest(int8, dataset_dir, split="validation")
    else:
        pictures = simulated(cases)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / _name(network) if page else output
        found = export_model(
            segmenter,
            folder,
            format=Format.ONNX.value if page else format.value,
            end_to_end=end_to_end,
            calibration=calibration,
            pictures=pictures,
            dice_tolerance=dice_tolerance,
            licence=licence,
            half=half,
        )
        if page:
            write_page(output, [read_model(folder)])
    typer.echo(f"{output}: {found.images} images ({found.pictures}), mean Dice against the library's masks")
    typer.echo(
        f"{found.mean_dice_with_library:.4f}, the worst {found.min_dice_with_library:.4f}, "
        f"probabilities within {found.max_probability_difference:.2g}"
    )
    if manifest is not None or int8 is not None:  # Dice on simulated cases says nothing
        typer.echo(f"mean Dice {found.mean_dice_exported:.4f}, of the library {found.mean_dice_library:.4f}")


def _finished(network: TrainedOptions) -> ModelFolder | None:
    """The model folder that the options name, which the page takes as it is; None for what must be exported first."""
    from monai_lesion.models.descriptions import FILE
    from monai_lesion.models.folders import read_model

    if network.published is not None:
        return None
    if (preset := chosen_preset(network)) is not None:
        return preset
    alone = network.weights is None and not network.settings
    if network.bundle is None or not alone or not (network.bundle / FILE).is_file():
        return None
    model = read_model(network.bundle)
    return model if model.description.format == Format.ONNX.value and not model.description.end_to_end else None


def _name(network: TrainedOptions) -> str:
    """What the page calls a network that is exported for it."""
    source = network.bundle or network.published or network.weights or Path("network")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source.resolve().stem).strip("-._") or "network"
