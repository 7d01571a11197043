"""The command `export`; what it needs is imported when it runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import Bundle, Published, Settings, Weights, open_network


class Format(str, Enum):
    """Formats of exported models."""

    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"
    OPENVINO = "openvino"


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(export)


def export(
    format: Annotated[Format, typer.Option(help="Of the model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    int8: Annotated[
        Path | None, typer.Option(help="Manifest whose training and validation splits calibrate an int8 model.")
    ] = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="uint8 picture of any size in; mask and probability of its size out.")
    ] = False,
    bundle: Bundle = None,
    weights: Weights = None,
    published: Published = None,
    settings: Settings = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Compare with the library on it; --int8's validation split, or simulated cases.")
    ] = None,
    dataset_dir: Annotated[Path | None, typer.Option(help="Folder that the manifests' paths start from.")] = None,
    split: Annotated[str, typer.Option(help="Split of --manifest.")] = "test",
    cases: Annotated[int, typer.Option(help="How many simulated cases, two views each.")] = 8,
    dice_tolerance: Annotated[float, typer.Option(help="How much Dice may be lost.")] = 0.002,
    licence: Annotated[str | None, typer.Option(help="Of the weights, for the metadata.")] = None,
) -> None:
    """Write the network as a folder that runs without this package; fails where its masks are not the library's."""
    from monai_lesion.pipeline.recipes import recipe_of
    from monai_lesion.runtimes.quantization import calibration_images
    from monai_lesion.segmentation.exports import LICENCE, export_model
    from monai_lesion.segmentation.parity import of_manifest, simulated

    segmenter = open_network(bundle, weights=weights, published=published, device="cpu", settings=settings)
    calibration = None
    if int8 is not None:
        size = recipe_of(segmenter.preprocess, segmenter.postprocess).spatial_size
        calibration = calibration_images(int8, dataset_dir, spatial_size=size)
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
        licence=licence or LICENCE,
    )
    typer.echo(f"{output}: {found.images} images ({found.pictures}), mean Dice with the library's masks")
    typer.echo(
        f"{found.mean_dice_with_library:.4f}, probabilities within {found.max_probability_difference:.2g}, "
        f"mean Dice {found.mean_dice_exported:.4f} (library {found.mean_dice_library:.4f})"
    )
