"""The command `export`; what it needs is imported when it runs."""

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
    format: Annotated[Format, typer.Option(help="Of the model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    int8: Annotated[
        Path | None, typer.Option(help="Manifest whose training and validation splits calibrate an int8 model.")
    ] = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="uint8 picture of any size in; mask and probability of its size out.")
    ] = False,
    network: TrainedOptions,
    manifest: Annotated[
        Path | None, typer.Option(help="Compare with the library on it; --int8's validation split, or simulated cases.")
    ] = None,
    dataset_dir: Annotated[Path | None, typer.Option(help="Folder that the manifests' paths start from.")] = None,
    split: Annotated[str, typer.Option(help="Split of --manifest.")] = "test",
    cases: Annotated[int, typer.Option(help="How many simulated cases, two views each.")] = 8,
    dice_tolerance: Annotated[float, typer.Option(help="How much Dice may be lost.")] = 0.002,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, for model.json.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store weights in half precision; onnx in fp32 only.")] = False,
) -> None:
    """Write the network as a folder that runs without this package; fails where its masks are not the library's."""
    from monai_lesion.runtimes.quantization import calibration_images
    from monai_lesion.segmentation.exports import export_model
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
    from monai_lesion.segmentation.parity import of_manifest, simulated

    segmenter = open_segmenter(network, runtime="torch")
    if not isinstance(segmenter, LesionSegmenter):
        raise InputError("export", "knows the steps of monai_lesion.pipeline only", got="transforms of the bundle")
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
    typer.echo(f"{output}: {found.images} images ({found.pictures}), mean Dice with the library's masks")
    typer.echo(
        f"{found.mean_dice_with_library:.4f}, probabilities within {found.max_probability_difference:.2g}, "
        f"mean Dice {found.mean_dice_exported:.4f} (library {found.mean_dice_library:.4f})"
    )
