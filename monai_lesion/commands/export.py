"""The command `export`; heavy imports wait until it runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import TrainedOptions, open_segmenter, shared
from monai_lesion.errors import InputError


class Format(str, Enum):
    """Formats of exported models."""

    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"
    OPENVINO = "openvino"


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

    Compares the exported model with the library first, and fails when the masks differ.
    """
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
    found = export_model(
        segmenter,
        output,
        format=format.value,
        end_to_end=end_to_end,
        calibration=calibration,
        pictures=pictures,
        dice_tolerance=dice_tolerance,
        licence=licence,
        half=half,
    )
    typer.echo(f"{output}: {found.images} images ({found.pictures}), mean Dice against the library's masks")
    typer.echo(
        f"{found.mean_dice_with_library:.4f}, probabilities within {found.max_probability_difference:.2g}, "
        f"mean Dice {found.mean_dice_exported:.4f} (library {found.mean_dice_library:.4f})"
    )
