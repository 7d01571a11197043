"""The commands `archive run`, `show`, `to-dicom` and `report`; heavy imports wait until they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lesion.commands.helps import GroupedCommands
from monai_lesion.errors import InputError

Results = Annotated[Path, typer.Argument(help="Folder of the results.")]
Credentials = Annotated[
    Path | None, typer.Option(help="JSON file with the log-in of DICOMweb.", show_default="variables, as of dicomweb")
]
Overwrite = Annotated[bool, typer.Option(help="Replace earlier files; otherwise they are an error.")]


class ArchiveCommands(GroupedCommands):
    """A group whose first word is a command of its own, or else a source to run on."""

    unnamed = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before anything that is neither a command nor a call for help."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [self.unnamed, *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    archive = typer.Typer(
        cls=ArchiveCommands,
        help="Segment a whole archive into a table, and read it: monai-lesion archive SOURCE -o FOLDER.",
        no_args_is_help=True,
    )
    archive.command("run")(run)
    archive.command("show")(show)
    archive.command("to-dicom")(to_dicom)
    archive.command("report")(report)
    app.add_typer(archive, name="archive")


def run(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders, patterns in quotes, tar files, CSV or Parquet lists, or the URL of DICOMweb."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the table; one of a run is continued.")],
    bundle: Annotated[str, typer.Option(help="Network to use: one of the package by its name, or a model folder.")] = (
        "pocket"
    ),
    runtime: Annotated[
        str | None, typer.Option(help="What runs the network: onnx or openvino.", show_default="the model's own")
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop/--no-crop", help="Show the network only the tissue region of a DICOM image, or all.")
    ] = True,
    group: Annotated[
        str | None, typer.Option(help="Group of the calibration to use.", show_default="the scanner in the header")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Take every so many frames of a cine.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most files to take, or studies of DICOMweb.", show_default="all")
    ] = None,
    sample: Annotated[float, typer.Option(help="Share of the files to take, drawn by their names.")] = 1.0,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out files that fit, such as '*_old.png'. May be repeated.")
    ] = None,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Also write patient ID, study date and accession number.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes of one core; 0 works without Ray.", show_default="one per core"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Running Ray to use: host:port or auto.", show_default="start one here")
    ] = None,
    part_files: Annotated[int, typer.Option(min=1, help="Most files of a part, which a worker does at a time.")] = 1000,
    credentials: Credentials = None,
) -> None:
    """Segment every frame of an archive: one row a frame, in Parquet.

    Whatever happens, run the same command again: what is finished stays, no frame is done twice, and files that came
    since are added. A bad file is a row with an error; the command then exits with 1 and says how many.
    """
    from monai_lesion.archive.jobs import Network
    from monai_lesion.archive.runs import Choices, run_archive

    choices = Choices(tuple(sources), stride, limit, sample, tuple(exclude or ()), identifiers, part_files)
    try:
        outcome = run_archive(
            choices,
            output,
            Network(bundle, runtime, crop, group),
            workers=workers,
            address=address,
            credentials=credentials,
        )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; run the same command again to continue in {output}", err=True)
        raise
    typer.echo(f"{outcome}\ntable in {output / 'rows'}")
    sys.stdout.flush()
    if outcome.errors:
        fix = f"See the columns error and error_kind, or monai-lesion archive report {output}"
        raise InputError("archive", f"{outcome.errors} of {outcome.rows} rows are errors", fix=fix)


def show(
    results: Results,
    row: Annotated[int, typer.Option(min=0, help="Number of the row, as the column row has it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG file to write.", show_default="row-NUMBER.png")
    ] = None,
    overwrite: Overwrite = False,
    credentials: Credentials = None,
) -> None:
    """Draw a row: its picture with contour, decision and trust. The network is not run."""
    from monai_lesion.archive.restorations import show_row

    file, told = show_row(results, row, output, overwrite=overwrite, credentials=credentials)
    typer.echo(f"{told}\n{file}")


def to_dicom(
    results: Results,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the objects.")],
    where: Annotated[
        str, typer.Option(help="Condition in SQL on the columns, such as \"decision = 'lesion'\".", show_default="all")
    ] = "",
    row: Annotated[list[int] | None, typer.Option(help="Number of a row. May be repeated.", show_default="all")] = None,
    formats: Annotated[str, typer.Option(help="What to write: dicom-seg, dicom-sr, sc.")] = "dicom-seg,dicom-sr",
    overwrite: Overwrite = False,
    credentials: Credentials = None,
) -> None:
    """Write DICOM objects of selected rows, without running the network again.

    They are those that predict would write. Name rows by --where, --row or both.
    """
    from monai_lesion.archive.restorations import write_dicom
    from monai_lesion.commands.parsing import listed
    from monai_lesion.machine.progress_bars import bar
    from monai_lesion.segmentation.formats import DICOM_ENDINGS

    kinds = listed(formats)
    unknown = [kind for kind in kinds if kind not in DICOM_ENDINGS]
    if unknown or not kinds:
        got = ", ".join(unknown) or "nothing"
        raise InputError("--formats", f"must be one or more of {', '.join(DICOM_ENDINGS)}", got=got)
    if not where.strip() and not row:
        fix = "For all rows with a mask: --where found"
        raise InputError("--where", "or --row must select rows", got="neither", fix=fix)
    with bar(title="writing", unit="row", delay=1.0) as shown:
        done = write_dicom(
            results,
            output,
            where=where,
            rows=row or (),
            formats=kinds,
            overwrite=overwrite,
            credentials=credentials,
            shown=shown,
        )
    typer.echo(f"{done} rows written to {output}")


def report(
    results: Results,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML file to write.", show_default="report.html in the folder"),
    ] = None,
    gallery: Annotated[int, typer.Option(min=0, help="Most doubtful frames to show.")] = 24,
    credentials: Credentials = None,
) -> None:
    """Write a page: decisions, sizes, the most doubtful frames, errors by kind."""
    from monai_lesion.archive.reports import write_archive_report

    typer.echo(write_archive_report(results, output, gallery=gallery, credentials=credentials))
