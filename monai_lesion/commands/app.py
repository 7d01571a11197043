"""The command line: each command parses its options and calls one function of the library."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion._version import NOTICE, __version__
from monai_lesion.commands.archive import register as register_archive
from monai_lesion.commands.benchmark import register as register_benchmark
from monai_lesion.commands.bundle import register as register_packaging
from monai_lesion.commands.calibrate import register as register_calibrate
from monai_lesion.commands.calipers import register as register_calipers
from monai_lesion.commands.doctor import register as register_doctor
from monai_lesion.commands.export import register as register_runtimes
from monai_lesion.commands.helps import dress
from monai_lesion.commands.label import register as register_label
from monai_lesion.commands.manifest import register as register_manifest
from monai_lesion.commands.options import (
    NetworkOptions,
    SegGeometry,
    SegKind,
    SegPlace,
    SegType,
    open_segmenter,
    shared,
)
from monai_lesion.commands.pacs import register as register_pacs
from monai_lesion.commands.page import register as register_page
from monai_lesion.commands.parsing import listed
from monai_lesion.commands.serve import register as register_serve
from monai_lesion.commands.study import register as register_study
from monai_lesion.commands.training import register as register_training
from monai_lesion.errors import InputError, printable

app = typer.Typer(
    help=f"Find and measure lesions in ultrasound images. {NOTICE}.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command. An input error prints one line and exits with 1, Ctrl-C exits with 130."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except InputError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(1) from None
    except OSError as error:  # a folder that cannot be written, a full disk
        typer.secho(f"error: {printable(error.filename or 'files')}: {error.strerror or error}", fg="red", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise SystemExit(130) from None


def _version(show: bool) -> None:
    if show:
        typer.echo(f"monai-lesion {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything the demo makes.")] = Path(
        "demo"
    ),
    cases: Annotated[int, typer.Option(help="Cases to simulate, two views each.")] = 120,
    epochs: Annotated[int, typer.Option(help="Epochs to train.")] = 10,
    seed: Annotated[int, typer.Option(help="Random seed for the cases and the training.")] = 0,
) -> None:
    """Try the whole chain on simulated cases, in minutes.

    Simulates cases, trains the package's network on them, evaluates it, and segments PNG and DICOM files. If you
    interrupt it, the same command goes on where it stopped.
    """
    from monai_lesion.commands.demo import run_demo

    typer.echo(run_demo(output, cases=cases, epochs=epochs, seed=seed, say=typer.echo))


@app.command()
def phantoms(
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    cases: Annotated[int, typer.Option(help="Cases to simulate, two views each.")] = 48,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same files.")] = 0,
    formats: Annotated[str, typer.Option(help="Image formats to write: png, dicom or png,dicom.")] = "png",
    workers: Annotated[int | None, typer.Option(help="Processes to run.", show_default="one per core")] = None,
) -> None:
    """Simulate two-view cases with exact masks and a manifest."""
    from monai_lesion.phantoms.files import write_phantoms

    typer.echo(write_phantoms(output, cases=cases, seed=seed, formats=listed(formats), workers=workers))


@app.command()
@shared
def predict(
    *,
    files: Annotated[
        list[Path], typer.Argument(help="Images, or folders of images: PNG, JPEG, DICOM ...", readable=False)
    ],  # what cannot be read is told at the end, as for the files of a folder
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    network: NetworkOptions,
    formats: Annotated[
        str,
        typer.Option(help="What to write, separated by commas: png, nifti, json, overlay, dicom-seg, dicom-sr, sc."),
    ] = "png",
    seg_type: SegKind = SegType.BINARY,
    seg_geometry: SegPlace = SegGeometry.NONE,
    frame: Annotated[
        int | None, typer.Option(help="Frame of a cine to segment, counted from 0.", show_default="all frames")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option(help="Skip images that already have results, to continue an interrupted run.")
    ] = False,
    accept: Annotated[
        str,
        typer.Option(
            help="Write only results with these decisions, separated by commas: lesion, doubtful, nothing found.",
            show_default="write all",
        ),
    ] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace earlier results; otherwise they are an error.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out files of a folder that fit, such as '*_old.png' or 'copies/*'. May be repeated."),
    ] = None,
) -> None:
    """Segment images and measure the lesions.

    Each mask has the rows and columns of its image. In a folder, masks that lie beside their picture are left out. A
    file that cannot be segmented does not stop the others: it is named at the end, and the command exits with 1.
    """
    from monai_lesion.measures.judgements import DECISIONS
    from monai_lesion.segmentation.batches import TABLE, segment_files
    from monai_lesion.segmentation.formats import FORMATS

    kinds = listed(formats)
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        raise InputError(
            "--formats", f"must be one or more of {', '.join(FORMATS)}", got=", ".join(unknown) or "nothing"
        )
    accepted = listed(accept)
    unknown = [decision for decision in accepted if decision not in DECISIONS]
    if unknown:
        raise InputError("--accept", f"must be one or more of {', '.join(DECISIONS)}", got=", ".join(unknown))
    segmenter = open_segmenter(network)
    if accepted and segmenter.trust is None:
        fix = "Calibrate it, and let it run as it was calibrated: one view, no int8"
        raise InputError("--accept", "needs the decisions of a calibrated network", got=segmenter.untrusted, fix=fix)
    table = len(files) > 1 or any(os.path.isdir(file) for file in files)
    try:
        segment_files(
            segmenter,
            files,
            output,
            formats=kinds,
            seg_type=seg_type.value,
            seg_geometry=seg_geometry.value,
            frame=frame,
            skip_existing=skip_existing,
            accept=accepted or None,
            overwrite=overwrite,
            exclude=exclude or (),
            table=table,
            report=typer.echo,
        )
    finally:  # after a bad file too
        if output.is_dir():
            there = f", a line for each picture in {output / TABLE}" if (output / TABLE).is_file() else ""
            typer.echo(f"results in {output}{there}")


@app.command()
def networks(
    width: Annotated[float, typer.Option(help="Multiply the channels of the U-nets by this, in steps of 1/16.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the paper's networks with their size and Dice.

    Shows parameters, FLOPs for one 256 x 256 image, and the Dice that the paper reports.
    """
    from monai_lesion.networks.complexity import complexity_table, format_complexity

    table = complexity_table(width=width)
    if as_json:
        import json

        typer.echo(json.dumps([row._asdict() for row in table], indent=2))
    else:
        typer.echo(format_complexity(table))


register_manifest(app)
register_pacs(app)
register_archive(app)
register_serve(app)
register_page(app)
register_label(app)
register_packaging(app)
register_runtimes(app)
register_calibrate(app)
register_study(app)
register_calipers(app)
register_benchmark(app)
register_training(app)
register_doctor(app)
dress(app)

if __name__ == "__main__":
    main()
