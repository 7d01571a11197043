"""The command `benchmark`; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.parsing import listed, numbers
from monai_lesion.errors import InputError

NETWORKS = "U-net,Light U-net,@128,@32,@8,@1"


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(benchmark)


def benchmark(
    networks: Annotated[
        str, typer.Option(help="Networks to time, named as monai-lesion networks lists them; @8 is Lighter U-net @8.")
    ] = NETWORKS,
    runtimes: Annotated[
        str | None,
        typer.Option(
            help="Runtimes to time: torch, onnx, openvino, or with a precision, such as openvino-int8.",
            show_default="all but torch-compile",
        ),
    ] = None,
    widths: Annotated[str, typer.Option(help="Widths of the U-nets to time, such as 0.125,0.25,1.")] = "1",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Trained weights for a network: NAME=FILE, or 'NAME, width W=FILE'. May be repeated.",
            show_default="random weights",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Measure Dice on the images of this manifest; its training and validation splits calibrate int8.",
            show_default="simulated cases",
        ),
    ] = None,
    dataset_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that the paths in the manifest start from.", show_default="the manifest's folder"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --manifest to use.")] = "test",
    calibration: Annotated[int, typer.Option(min=16, help="Training images of --manifest that calibrate int8.")] = 128,
    cases: Annotated[int, typer.Option(min=1, help="Cases to simulate when you give no --manifest.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of three images to time, after one to warm up.")] = 7,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads in each process.", show_default="one per core")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side of the square input image, in pixels.")] = 256,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New or empty folder for the table, CSV file and plot.")
    ] = None,
) -> None:
    """Time networks and runtimes on this machine.

    Reports latency, throughput, memory and Dice. Exits with 1 when a row fails.
    """
    from monai_lesion.benchmark.candidates import find_candidates
    from monai_lesion.benchmark.pictures import manifest_pictures, simulated_pictures
    from monai_lesion.benchmark.reports import run_benchmark
    from monai_lesion.benchmark.settings import USUAL, find_settings
    from monai_lesion.machine.processors import processor

    candidates = find_candidates(listed(networks), numbers("--widths", widths), _files(weights or []))
    settings = find_settings(listed(runtimes) if runtimes is not None else USUAL)
    pictures = (
        manifest_pictures(manifest, dataset_dir, split, size, calibration=calibration)
        if manifest is not None
        else simulated_pictures(cases, size)
    )
    text, failed = run_benchmark(
        candidates,
        settings,
        pictures,
        repeats=repeats,
        threads=threads or processor().cores,
        output=output,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(text)
    if failed:
        raise InputError("benchmark", f"{failed} rows failed; see the table for the reasons")


def _files(assignments: list[str]) -> dict[str, Path]:
    found = {}
    for text in assignments:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise InputError("--weights", "must be NAME=FILE", got=text)
        found[name] = Path(file)
    return found
