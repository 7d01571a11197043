"""The command `benchmark`; what it needs is imported when it runs."""

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
        str, typer.Option(help="Names as `monai-lesion networks` shows them; @8 is Lighter U-net @8.")
    ] = NETWORKS,
    runtimes: Annotated[
        str | None, typer.Option(help="torch, onnx, openvino, or openvino-int8, torch-bf16 ...; all.")
    ] = None,
    widths: Annotated[str, typer.Option(help="Of the U-nets: 0.125,0.25,1.")] = "1",
    weights: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE, or 'NAME, width W=FILE': trained weights; repeat it for more.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Dice on it; its training and validation splits calibrate int8.")
    ] = None,
    dataset_dir: Annotated[Path | None, typer.Option(help="Folder that the manifest's paths start from.")] = None,
    split: Annotated[str, typer.Option(help="Of --manifest.")] = "test",
    calibration: Annotated[
        int, typer.Option(min=16, help="Images of --manifest's training split that calibrate int8.")
    ] = 128,
    cases: Annotated[int, typer.Option(min=1, help="Simulated cases where there is no --manifest.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Turns, three images each, after one that warms up.")] = 7,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one a core.")] = None,
    size: Annotated[int, typer.Option(min=16, help="Rows and columns of the networks' input.")] = 256,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="New or empty folder for the files.")] = None,
) -> None:
    """Time networks in runtimes on this machine: latency, throughput, memory and Dice."""
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
        raise InputError("benchmark", f"{failed} rows failed; the table says why")


def _files(assignments: list[str]) -> dict[str, Path]:
    found = {}
    for text in assignments:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise InputError("--weights", "must be NAME=FILE", got=text)
        found[name] = Path(file)
    return found
