"""The command `study calipers`; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lesion.commands.options import NetworkOptions, open_segmenter, shared
from monai_lesion.commands.study import DatasetDir, study_group
from monai_lesion.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to the group `study` of an application."""
    study_group(app).command("calipers")(shared(calipers))


def calipers(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables.")],
    network: NetworkOptions,
    manifest: Annotated[
        Path | None, typer.Option(help="Manifest of the images to use.", show_default="simulated cases")
    ] = None,
    dataset_dir: DatasetDir = None,
    split: Annotated[str, typer.Option(help="Split of the manifest to use.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the places that calipers are moved to.")] = 0,
) -> None:
    """Measure how much a network relies on calipers in the image.

    Segments each picture as it is, with its calipers removed, and with calipers moved elsewhere, and compares the
    results.
    """
    from monai_lesion.datasets.defaults import open_data
    from monai_lesion.datasets.entries import SPLITS
    from monai_lesion.report.calipers import write_comparison
    from monai_lesion.study.calipers import compare_images

    if split not in SPLITS:
        raise InputError("--split", f"must be one of {', '.join(SPLITS)}", got=split)
    if output.exists() and not output.is_dir():
        raise InputError(output, "must be a folder", got="a file", fix="Choose another output")
    data = open_data(manifest, dataset_dir, splits=(split,))
    entries = data.entries(split)
    segmenter = open_segmenter(network)
    records = compare_images(lambda picture: segmenter(picture).mask, entries, seed=seed, progress=_bar)
    about = {
        "manifest": data.name,
        "split": split,
        "network": segmenter.algorithm.name,
        "weights_id": segmenter.algorithm.weights,
        "input": segmenter.algorithm.settings.get("input_size"),
        "runtime": segmenter.algorithm.settings.get("runtime"),
        "seed": seed,
    }
    typer.echo(write_comparison(records, output, about))
    typer.echo(f"tables in {output}")


def _bar(items: Any) -> Any:
    from monai_lesion.machine.progress_bars import bar

    return bar(items, title="comparing")
