"""The commands `bundle path`, `bundle init` and `bundle package`; heavy imports wait until they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleFolder, Weights

bundle_app = typer.Typer(help="Find, copy or package the MONAI bundle that trains the networks.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.add_typer(bundle_app, name="bundle")


@bundle_app.command()
def path() -> None:
    """Print where the bundle of this installation is."""
    typer.echo(BUNDLE)


@bundle_app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to create.")]) -> None:
    """Copy the bundle into a folder of your own, to edit and train.

    Weights are not copied. Trainings that you start from the copy write into it.
    """
    from monai_lesion.models.bundles import init_bundle

    typer.echo(init_bundle(folder))


@bundle_app.command()
def package(
    output: Annotated[Path, typer.Option("--output", "-o", help="Zip file to write.")],
    bundle: BundleFolder = BUNDLE,
    weights: Weights = None,
) -> None:
    """Pack a bundle and its weights into one zip file.

    Nothing else goes into the file, and the same input always gives the same bytes.
    """
    from monai_lesion.training.packaging import package_bundle

    typer.echo(package_bundle(bundle, output, weights=weights))
