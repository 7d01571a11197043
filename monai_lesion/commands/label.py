"""``monai-lesion label-app``: the folder from which a MONAI Label server starts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, Bundle, Settings, Weights, assignments, chosen_preset


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label-app")(label_app)


def label_app(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the app, to be made.")],
    bundle: Bundle = None,
    weights: Weights = None,
    settings: Settings = None,
    studies: Annotated[
        str, typer.Option(help="Images, folder or DICOMweb address, for the command shown.")
    ] = "STUDIES",
) -> None:
    """Lay out a MONAI Label app around a bundle and show the command that starts it."""
    from monai_lesion.label.folders import start_command, write_label_app

    overrides = assignments(settings)
    if preset := chosen_preset(bundle, weights, settings):
        bundle, weights, overrides = BUNDLE, preset.weights, preset.overrides
    app = write_label_app(output, bundle or BUNDLE, weights=weights, overrides=overrides)
    if find_spec("monailabel") is None:
        typer.echo("MONAI Label is not in this environment: start the app from one that has it", err=True)
    typer.echo(start_command(app, studies))
