"""The command `calibrate`; heavy imports wait until it runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lesion.commands.options import NetworkOptions, chosen_preset, open_segmenter, shared
from monai_lesion.errors import InputError


class Signal(str, Enum):
    """What trust is made of."""

    SCORES = "scores"
    VIEWS = "views"


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(shared(calibrate))


def calibrate(
    *,
    network: NetworkOptions,
    manifest: Annotated[Path, typer.Option(help="Manifest of annotated pictures, some without a lesion.")],
    dataset_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that the paths in the manifest start from.", show_default="the manifest's folder"),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split to calibrate on; nothing may have been trained or chosen on it.")
    ] = "calibration",
    by: Annotated[
        str | None,
        typer.Option(
            help="Column such as device or centre: intervals for each of its values with 40 cases or more.",
            show_default="all pictures together",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="New folder for a calibrated copy.", show_default="the model folder itself"
        ),
    ] = None,
    signal: Annotated[
        Signal | None,
        typer.Option(
            help="What trust is made of: the network's scores, or the agreement of three views of the picture, which "
            "runs the network three times.",
            show_default="scores if the network has some",
        ),
    ] = None,
    lost: Annotated[float, typer.Option(help="Share of lesions that may be taken for nothing.")] = 0.03,
    least_trust: Annotated[float, typer.Option(help="Estimated Dice below which a mask is doubtful.")] = 0.7,
    level: Annotated[float, typer.Option(help="Probability that a size lies in its interval.")] = 0.9,
) -> None:
    """Calibrate how far a network is to be believed.

    Segments annotated pictures that the network was not trained on, and writes into its model folder what turns its
    scores into a decision, a trust and intervals. Fifty cases are the least.
    """
    from monai_lesion.datasets.manifests import load_manifest
    from monai_lesion.segmentation.calibrations import OperatingPoint
    from monai_lesion.segmentation.calibrations import calibrate as run
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
    from monai_lesion.segmentation.trust import Trust

    point = OperatingPoint(lost=lost, least_trust=least_trust, level=level)
    if output is None and chosen_preset(network) is not None:
        fix = "Name a folder for a calibrated copy: --output my_model"
        raise InputError("--bundle", "a network of the package is not changed", got=network.bundle or "none", fix=fix)
    segmenter = open_segmenter(network)
    if not isinstance(segmenter, LesionSegmenter):
        raise InputError("calibrate", "works only with the steps of monai_lesion.pipeline", got="other transforms")
    loaded = load_manifest(manifest, dataset_dir, splits=(split,))
    description, said = run(
        segmenter,
        loaded,
        split,
        by=by,
        signal=None if signal is None else signal.value,
        point=point,
        output=output,
        progress=_bar,
    )
    folder = output if segmenter.folder is None or output is not None else segmenter.folder.path
    typer.echo(f"{folder}: {Trust(description.calibration or {})}")
    for line in said:
        typer.echo(f"note: {line}")


def _bar(items: Any) -> Any:
    from monai_lesion.machine.progress_bars import bar

    return bar(items, title="calibrating")
