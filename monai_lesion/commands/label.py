"""``monai-lesion label-app``: the folder from which a MONAI Label server starts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleOptions, assignments, chosen_preset, shared


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label-app")(shared(label_app))


def label_app(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the app, to be made.")],
    network: BundleOptions,
    studies: Annotated[
        str, typer.Option(help="Images, folder or DICOMweb address, for the command shown.")
    ] = "STUDIES",
) -> None:
    """Lay out a MONAI Label app around a bundle and show the command that starts it."""
    from monai_lesion.label.folders import start_command, write_label_app

    bundle, weights, overrides = network.bundle or BUNDLE, network.weights, assignments(network.settings)
    if (preset := chosen_preset(network)) is not None:
        known = preset.description
        bundle, weights = BUNDLE, preset.weights
        overrides = {"network_def": known.network_def, "spatial_size": list(known.steps.input_size)}
    app = write_label_app(output, bundle, weights=weights, overrides=overrides)
    if find_spec("monailabel") is None:
        typer.echo("MONAI Label is not in this environment: start the app from one that has it", err=True)
    typer.echo(start_command(app, studies))
