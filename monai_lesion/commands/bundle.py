"""The command `bundle package`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleFolder, Weights

bundle_app = typer.Typer(help="Make a release of a bundle.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.add_typer(bundle_app, name="bundle")


@bundle_app.callback()
def _bundle() -> None:
    """Make a release of a bundle."""


@bundle_app.command()
def package(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .zip to write.")],
    bundle: BundleFolder = BUNDLE,
    weights: Weights = None,
) -> None:
    """Write a bundle with its weights, and nothing else, as one zip file; the same input gives the same bytes."""
    from monai_lesion.training.packaging import package_bundle

    typer.echo(package_bundle(bundle, output, weights=weights))
