"""The command `label-app`: write the folder that a MONAI Label server starts from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleOptions, assignments, chosen_preset, shared
from monai_lesion.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label-app")(shared(label_app))


def label_app(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create for the app.")],
    network: BundleOptions,
    studies: Annotated[
        str, typer.Option(help="Folder of images or address of a DICOMweb server, for the command that is shown.")
    ] = "STUDIES",
) -> None:
    """Make a MONAI Label app from a bundle.

    Shows the command that starts the server.
    """
    from monai_lesion.label.folders import start_command, write_label_app

    bundle, weights, overrides = network.bundle or BUNDLE, network.weights, assignments(network.settings)
    if (preset := chosen_preset(network)) is not None:
        known = preset.description
        bundle, weights = BUNDLE, preset.weights
        overrides = {"network_def": known.network_def, "spatial_size": list(known.steps.input_size)}
    elif not network.code:
        from monai_lesion.models.inert_bundles import read_inert

        if overrides:
            raise InputError("--no-code", "takes no --set", got=", ".join(overrides), fix="Leave one of them out")
        _, definition, steps = read_inert(bundle, weights=weights)
        places = [bundle / "models" / "model.pt", bundle / "model.pt"]
        bundle, weights = BUNDLE, weights or next(each for each in places if each.is_file())
        if steps.keep != "largest":
            raise InputError(bundle, "must keep the largest component for --no-code", got=steps.keep)
        told = {"threshold": steps.threshold, "order": steps.order}
        overrides = {"network_def": definition, "spatial_size": list(steps.input_size), **told}
    app = write_label_app(output, bundle, weights=weights, overrides=overrides)
    if find_spec("monailabel") is None:
        typer.echo("MONAI Label is not installed here: start the app from an environment that has it", err=True)
    typer.echo(start_command(app, studies))
