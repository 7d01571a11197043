"""The command line: each command parses its options and calls one function of the library."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lesion._version import NOTICE, __version__
from monai_lesion.commands.benchmark import register as register_benchmark
from monai_lesion.commands.bundle import register as register_packaging
from monai_lesion.commands.calipers import register as register_calipers
from monai_lesion.commands.export import register as register_runtimes
from monai_lesion.commands.label import register as register_label
from monai_lesion.commands.options import NetworkOptions, SegKind, SegType, open_segmenter, shared
from monai_lesion.commands.pacs import register as register_pacs
from monai_lesion.commands.parsing import listed, numbers
from monai_lesion.commands.study import register as register_study
from monai_lesion.errors import InputError

app = typer.Typer(
    help=f"Find and measure lesions in ultrasound images. {NOTICE}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
manifest_app = typer.Typer(
    help="Make and check manifests, the JSON files that list images and labels.", no_args_is_help=True
)
app.add_typer(manifest_app, name="manifest")

Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write.")]
Manifest = Annotated[Path, typer.Option("--output", "-o", help="Manifest (JSON) to write.")]
DatasetDir = Annotated[
    Path | None,
    typer.Option(help="Folder that the paths in the manifest start from.", show_default="the manifest's folder"),
]
NearDuplicates = Annotated[bool, typer.Option(help="Keep look-alike pictures in one split; reads every picture.")]


def main() -> None:
    """Run a command. An input error prints one line and exits with 1, Ctrl-C exits with 130."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs every module it copies
    try:
        app()
    except InputError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(1) from None
    except OSError as error:  # a folder that cannot be written, a full disk
        typer.secho(f"error: {error.filename or 'files'}: {error.strerror or error}", fg="red", err=True)
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
    cases: Annotated[int, typer.Option(help="Cases to simulate, two views each.")] = 48,
    epochs: Annotated[int, typer.Option(help="Epochs to train.")] = 20,
    seed: Annotated[int, typer.Option(help="Random seed for the cases and the training.")] = 0,
) -> None:
    """Try the whole chain on simulated cases, in minutes.

    Simulates cases, trains a small network, evaluates it, and segments PNG and DICOM files. If you interrupt it, the
    same command goes on where it stopped.
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


@manifest_app.command("create")
def manifest_create(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the data.")],
    images: Annotated[str, typer.Option(help="Where the images are, e.g. 'images/{case}_{view}.png'.")],
    labels: Annotated[str, typer.Option(help="Where the labels are, e.g. 'masks/{case}_{view}.png'.")],
    output: Manifest,
    split: Annotated[
        str, typer.Option(help="Shares or numbers of patients to train, validate and test: 0.6,0.2,0.2 or 208,70,70.")
    ] = "0.6,0.2,0.2",
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
    stratify: Annotated[
        str, typer.Option(help="Columns to balance over the splits, e.g. device,pathology.", show_default="none")
    ] = "",
    calibration: Annotated[
        float, typer.Option(help="Share of the training patients to set aside for calibration.")
    ] = 0.0,
    near_duplicates: NearDuplicates = False,
    table: Annotated[Path | None, typer.Option(help="CSV file with further columns for each image.")] = None,
    key: Annotated[str, typer.Option(help="Column that matches rows of --table to images.")] = "case_id",
    name: Annotated[str, typer.Option(help="Name of the data set.", show_default="the folder's name")] = "",
    description: Annotated[str, typer.Option(help="Description of the data set.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the data set.")] = "",
    reference: Annotated[str, typer.Option(help="Publication to cite.")] = "",
) -> None:
    """Make a manifest from file names, split by patient.

    The patterns say which part of a file name is the case and which the view.
    """
    from monai_lesion.datasets.importers import create_manifest

    content = create_manifest(
        folder,
        images,
        labels,
        split=numbers("--split", split),
        seed=seed,
        stratify=listed(stratify),
        calibration=calibration,
        near_duplicates=near_duplicates,
        table=table,
        key=key,
        name=name,
        description=description,
        licence=licence,
        reference=reference,
    )
    _write_manifest(content, output)


@manifest_app.command("check")
def manifest_check(
    manifest: Annotated[Path, typer.Argument(help="Manifest (JSON) to check.")],
    dataset_dir: DatasetDir = None,
    splits: Annotated[str, typer.Option(help="Splits whose files to open.")] = "training,validation,test,calibration",
) -> None:
    """Check a manifest and the files it lists.

    Checks the schema, that no patient is in two splits, that every file opens, that label and image have the same
    size, and that no label is empty by mistake.
    """
    from monai_lesion.datasets.manifests import load_manifest

    loaded = load_manifest(manifest, dataset_dir, splits=listed(splits), progress=_bar)
    for split, entries in loaded.splits.items():
        cases = len({entry["case_id"] for entry in entries})
        checked = "" if split in listed(splits) else " (files not checked)"
        typer.echo(f"{split:<11}{len(entries):>7} images of {cases} cases{checked}")


@manifest_app.command("busbra")
def manifest_busbra(
    folder: Annotated[Path, typer.Argument(help="Folder with bus_data.csv and 5-fold-cv.csv.")],
    output: Manifest,
    dev: Annotated[
        bool,
        typer.Option(
            help="Test on fold 4 and leave fold 5 untouched; validation and calibration are parts of folds 1-3. "
            "Otherwise train on folds 1-3, validate on 4, test on 5."
        ),
    ] = False,
) -> None:
    """Make the manifest for BUS-BRA from its official folds."""
    from monai_lesion.datasets.importers import busbra

    _write_manifest(busbra(folder, dev=dev), output)


@manifest_app.command("join")
def manifest_join(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more manifests.")],
    output: Manifest,
    folders: Annotated[
        str,
        typer.Option(
            help="Subfolder that holds each manifest's data, in order, e.g. busbra,busi.",
            show_default="leave the paths as they are",
        ),
    ] = "",
) -> None:
    """Join manifests, split by split.

    A new column, dataset, says which manifest each entry came from.
    """
    from monai_lesion.datasets.joins import inside_folders, join_manifests
    from monai_lesion.datasets.manifests import read_manifest

    _write_manifest(
        join_manifests([read_manifest(file) for file in manifests], inside_folders(listed(folders))), output
    )


@manifest_app.command("busi")
def manifest_busi(
    folder: Annotated[Path, typer.Argument(help="Folder that holds benign, malignant and normal.")],
    output: Manifest,
    groups: Annotated[
        Path | None, typer.Option(help="CSV file (class, file, group) that says which pictures stay together.")
    ] = None,
    near_duplicates: NearDuplicates = False,
    split: Annotated[
        str, typer.Option(help="Shares or numbers of groups to train, validate and test.")
    ] = "0.6,0.15,0.25",
    calibration: Annotated[
        float, typer.Option(help="Share of the training groups to set aside for calibration.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
) -> None:
    """Make the manifest for BUSI, near-duplicates kept together.

    Works on the whole data set or a part of it; the split is balanced by class.
    """
    from monai_lesion.datasets.busi import busi

    content = busi(
        folder,
        groups=groups,
        near_duplicates=near_duplicates,
        split=numbers("--split", split),
        calibration=calibration,
        seed=seed,
    )
    _write_manifest(content, output)


def _write_manifest(content: dict[str, Any], output: Path) -> None:
    from monai_lesion.datasets.manifests import SPLITS, write_manifest

    typer.echo(write_manifest(content, output))
    typer.echo(", ".join(f"{split} {len(content[split])}" for split in SPLITS if split in content))


def _bar(items: Any) -> Any:
    from monai_lesion.machine.progress_bars import bar

    return bar(items, title="checking")


@app.command()
@shared
def predict(
    *,
    files: Annotated[list[Path], typer.Argument(help="Images, or folders of images: PNG, JPEG, DICOM ...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    network: NetworkOptions,
    formats: Annotated[
        str,
        typer.Option(help="What to write, separated by commas: png, nifti, json, overlay, dicom-seg, dicom-sr, sc."),
    ] = "png",
    seg_type: SegKind = SegType.BINARY,
    frame: Annotated[
        int | None, typer.Option(help="Frame of a cine to segment, counted from 0.", show_default="all frames")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option(help="Skip images that already have results, to continue an interrupted run.")
    ] = False,
) -> None:
    """Segment images and measure the lesions.

    Each mask has the rows and columns of its image. A file that cannot be read does not stop the others: it is named,
    and the command exits with 1.
    """
    from monai_lesion.segmentation.batches import segment_files
    from monai_lesion.segmentation.results import FORMATS

    kinds = listed(formats)
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        raise InputError(
            "--formats", f"must be one or more of {', '.join(FORMATS)}", got=", ".join(unknown) or "nothing"
        )
    segmenter = open_segmenter(network)
    written = segment_files(
        segmenter,
        files,
        output,
        formats=kinds,
        seg_type=seg_type.value,
        frame=frame,
        skip_existing=skip_existing,
        report=typer.echo,
    )
    typer.echo(f"{written} images segmented, results in {output}")


@app.command()
def networks(
    width: Annotated[float, typer.Option(help="Multiply the channels of the U-nets by this, in steps of 1/16.")] = 1.0,
) -> None:
    """List the paper's networks with their size and Dice.

    Shows parameters, FLOPs for one 256 x 256 image, and the Dice that the paper reports.
    """
    from monai_lesion.networks.complexity import complexity_table, format_complexity

    typer.echo(format_complexity(complexity_table(width=width)))


register_pacs(app)
register_label(app)
register_packaging(app)
register_runtimes(app)
register_study(app)
register_calipers(app)
register_benchmark(app)

if __name__ == "__main__":
    main()
