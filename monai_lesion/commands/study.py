"""The commands `study run` and `study report`; heavy imports wait until they run."""

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
    typer.Option(
        "--dataset-dir",
        "--dataset_dir",
        help="Folder that the paths in the manifest start from.",
        show_default="the manifest's folder",
    ),
]


class EngineKind(str, Enum):
    """How to run the trials of a study."""

    SEQUENTIAL = "sequential"
    RAY = "ray"


def study_group(app: typer.Typer) -> typer.Typer:
    """Find the group `study` of an application, or add it."""
    for group in app.registered_groups:
        if group.name == "study" and group.typer_instance is not None:
            return group.typer_instance
    study = typer.Typer(help="Train many networks and compare them.", no_args_is_help=True)
    app.add_typer(study, name="study")
    return study


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    study = study_group(app)
    study.command("run")(run)
    study.command("report")(report)


def run(
    study: Annotated[Path, typer.Argument(help="Study file (JSON), such as studies/table2.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the study; an existing one is continued.")],
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest to train on. Repeat it for the folds of a cross-validation.",
            show_default="the study file's, or simulated cases",
        ),
    ] = None,
    dataset_dir: DatasetDir = None,
    engine: Annotated[
        EngineKind, typer.Option(help="Run the trials here one after another, or in parallel on Ray.")
    ] = EngineKind.SEQUENTIAL,
    address: Annotated[
        str | None, typer.Option(help="Running Ray to use: host:port or auto.", show_default="start one here")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials to run at a time on a Ray started here.", show_default="as the cores allow"),
    ] = None,
    cpus_per_trial: Annotated[
        int | None, typer.Option(min=1, help="Cores for each trial.", show_default="all; 1 on Ray")
    ] = None,
    gpus_per_trial: Annotated[
        float, typer.Option(min=0.0, help="GPUs for each trial on Ray; a share such as 0.5 is allowed.")
    ] = 0.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a config value in every trial: max_epochs=10. May be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Name of a network of the study; the others wait. May be repeated.", show_default="all"),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed of the networks; the others wait. May be repeated.", show_default="all"),
    ] = None,
    bundle: BundleFolder = BUNDLE,
) -> None:
    """Train and test the networks of a study.

    Chooses the weight decay of each network on the validation split and tests each final network once. Run the same
    command again to continue: finished trials are skipped, interrupted ones resume, failed ones are tried again.
    """
    from monai_lesion.datasets.defaults import checking
    from monai_lesion.machine.clusters import check_address
    from monai_lesion.study.engines import Engine, RayEngine, SequentialEngine
    from monai_lesion.study.runs import Outcome, prepare, run_study

    on_ray = engine is EngineKind.RAY
    if not on_ray and (address is not None or workers is not None or gpus_per_trial):
        raise InputError("--address, --workers and --gpus-per-trial", "need --engine ray", got="sequential")
    if address is not None:
        check_address(address)
    given: list[Path | None] = [*manifest] if manifest else [None]
    places = [output / f"fold{number}" for number in range(1, len(given) + 1)] if len(given) > 1 else [output]
    prepared = [
        prepare(
            study,
            place,
            manifest=each,
            dataset_dir=dataset_dir,
            bundle=bundle,
            settings=assignments(settings),
            only=only,
            seeds=seed,
            progress=checking,
        )
        for each, place in zip(given, places, strict=True)
    ]
    outcomes: list[Outcome] = []
    for known, place in prepared:
        chosen: Engine = (
            RayEngine(address=address, workers=workers, cpus=cpus_per_trial or 1, gpus=gpus_per_trial)
            if on_ray
            else SequentialEngine(threads=cpus_per_trial, progress=sys.stderr.isatty())
        )
        if len(prepared) > 1:
            typer.echo(f"fold {len(outcomes) + 1} of {len(prepared)}: {place.manifest}", err=True)
        try:
            outcomes.append(run_study(known, place, chosen, say=lambda line: typer.echo(line, err=True)))
        except KeyboardInterrupt:
            typer.echo(f"interrupted; run the same command again to continue in {output}", err=True)
            raise
    trained, tested = (sum(getattr(each, name) for each in outcomes) for name in ("trained", "tested"))
    typer.echo(f"{trained} networks trained, {tested} tested, in {output.absolute()}")
    typer.echo(f"Tables and figures: monai-lesion study report {output}")
    failures = [
        f"{each.output.name}, {name}: {error}" if len(outcomes) > 1 else f"{name}: {error}"
        for each in outcomes
        for name, error in each.failures.items()
    ]
    if failures:
        listed = "\n  ".join(failures)
        rule = f"{len(failures)} jobs failed; run the same command to try them again:\n  {listed}"
        raise InputError("study", rule)


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of studies, or of records kept with --records.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the report.", show_default="report in the first folder"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Network to compare the others with.", show_default="the first of each table"),
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="Also write records to this folder, small enough to commit.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Only write the tables, between the marks of this Markdown document.")
    ] = None,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time/--no-cpu-time", help="Time each network on this machine's CPU.")
    ] = True,
) -> None:
    """Report on studies: tables, figures and one HTML page.

    Tables are written as Markdown, CSV and LaTeX.
    """
    if page is not None:
        from monai_lesion.report.documents import write_document

        if output is not None or records is not None:
            raise InputError("--page", "cannot be combined with --output or --records", fix="Run the command twice")
        typer.echo(write_document(folders, page, reference=reference))
        return
    from monai_lesion.report.pages import write_report

    typer.echo(write_report(folders, output, reference=reference, records=records, cpu_time=cpu_time))
