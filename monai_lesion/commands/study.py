"""The commands `study run` and `study report`; what they need is imported when they run."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import BUNDLE, BundleFolder, assignments
from monai_lesion.errors import InputError

DatasetDir = Annotated[
    Path | None,
    typer.Option("--dataset-dir", "--dataset_dir", help="Folder that the manifest's paths start from; its own."),
]


class EngineKind(str, Enum):
    """What runs the trials."""

    SEQUENTIAL = "sequential"
    RAY = "ray"


def study_group(app: typer.Typer) -> typer.Typer:
    """The group `study` of an application, made on first use."""
    for group in app.registered_groups:
        if group.name == "study" and group.typer_instance is not None:
            return group.typer_instance
    study = typer.Typer(help="Train and compare many networks; report on them.", no_args_is_help=True)
    app.add_typer(study, name="study")
    return study


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    study = study_group(app)
    study.command("run")(run)
    study.command("report")(report)


def run(
    study: Annotated[Path, typer.Argument(help="Study file, such as studies/table2.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the study: new, or of the same study.")],
    manifest: Annotated[Path | None, typer.Option(help="The data; the study file's, or simulated cases.")] = None,
    dataset_dir: DatasetDir = None,
    engine: Annotated[EngineKind, typer.Option(help="Here one after another, or on Ray.")] = EngineKind.SEQUENTIAL,
    address: Annotated[str | None, typer.Option(help="Of a running Ray, host:port or auto; starts one here.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time on a Ray started here.")] = None,
    cpus_per_trial: Annotated[int | None, typer.Option(min=1, help="Cores of a trial; all, on Ray 1.")] = None,
    gpus_per_trial: Annotated[float, typer.Option(min=0.0, help="Share of a GPU of a trial on Ray, 0.5.")] = 0.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Config value of every trial: max_epochs=10; repeat it for more.")
    ] = None,
    bundle: BundleFolder = BUNDLE,
) -> None:
    """Train the networks of a study, choose weight decays on the validation split, test each final network once.

    Run again, it goes on where it was: finished trials are skipped, interrupted ones resume, failed ones are tried
    again.
    """
    from monai_lesion.datasets.defaults import checking
    from monai_lesion.study.engines import Engine, RayEngine, SequentialEngine, check_address
    from monai_lesion.study.runs import prepare, run_study

    on_ray = engine is EngineKind.RAY
    if not on_ray and (address is not None or workers is not None or gpus_per_trial):
        raise InputError("--address, --workers and --gpus-per-trial", "belong to --engine ray", got="sequential")
    if address is not None:
        check_address(address)
    known, place = prepare(
        study,
        output,
        manifest=manifest,
        dataset_dir=dataset_dir,
        bundle=bundle,
        settings=assignments(settings),
        progress=checking,
    )
    chosen: Engine = (
        RayEngine(address=address, workers=workers, cpus=cpus_per_trial or 1, gpus=gpus_per_trial)
        if on_ray
        else SequentialEngine(threads=cpus_per_trial, progress=sys.stderr.isatty())
    )
    try:
        outcome = run_study(known, place, chosen, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command goes on in {place.output}", err=True)
        raise
    typer.echo(f"{outcome.trained} networks trained, {outcome.tested} tested, in {outcome.output}")
    typer.echo(f"Tables and figures: monai-lesion study report {output}")
    if outcome.failures:
        listed = "\n  ".join(f"{name}: {error}" for name, error in outcome.failures.items())
        rule = f"{len(outcome.failures)} jobs failed; the same command tries them again:\n  {listed}"
        raise InputError("study", rule)


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of studies, or of records that are kept.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; `report` in the first folder.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Network that the others are compared with; the first.")] = None,
    records: Annotated[Path | None, typer.Option(help="Also write records small enough to keep, here.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Markdown document: write the tables between its marks, and nothing else.")
    ] = None,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time/--no-cpu-time", help="Time each network on this machine's CPU.")
    ] = True,
) -> None:
    """Write tables (Markdown, CSV, LaTeX), figures and one HTML page about studies that have run."""
    if page is not None:
        from monai_lesion.report.documents import write_document

        if output is not None or records is not None:
            raise InputError("--page", "must stand without --output and --records", fix="Give the command twice")
        typer.echo(write_document(folders, page, reference=reference))
        return
    from monai_lesion.report.pages import write_report

    typer.echo(write_report(folders, output, reference=reference, records=records, cpu_time=cpu_time))
