"""The commands `bundle path`, `bundle init` and `bundle package`; what they need is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleFolder, Weights

bundle_app = typer.Typer(help="Find, copy or release the bundle.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.add_typer(bundle_app, name="bundle")


@bundle_app.command()
def path() -> None:
    """Print the folder of the bundle that came with the package."""
    typer.echo(BUNDLE)


@bundle_app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to make.")]) -> None:
    """Copy the bundle, without weights, to edit and train; what the copy's runs write stays inside it."""
    from monai_lesion.models.bundles import init_bundle

    typer.echo(init_bundle(folder))


@bundle_app.command()
def package(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .zip to write.")],
    bundle: BundleFolder = BUNDLE,
    weights: Weights = None,
) -> None:
    """Write a bundle with its weights, and nothing else, as one zip file; the same input gives the same bytes."""
    from monai_lesion.training.packaging import package_bundle

    typer.echo(package_bundle(bundle, output, weights=weights))
