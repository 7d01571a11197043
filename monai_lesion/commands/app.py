"""The command line: each command a thin door to one function."""

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
    context_settings={"help_option_names": ["-h", "--help"]},
)
manifest_app = typer.Typer(help="Make and check manifests, the data lists of two-view cases.", no_args_is_help=True)
app.add_typer(manifest_app, name="manifest")

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder or file to write.")]
DatasetDir = Annotated[Path | None, typer.Option(help="Folder that the manifest's paths start from; its own folder.")]
NearDuplicates = Annotated[bool, typer.Option(help="Keep pictures of equal look in one split; reads every picture.")]


def main() -> None:
    """Run a command; an input error is one line and exit 1, Ctrl-C is exit 130."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module it copies
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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def demo(
    output: Output = Path("demo"),
    cases: Annotated[int, typer.Option(help="Simulated cases, two views each.")] = 48,
    epochs: Annotated[int, typer.Option(help="Epochs of the training.")] = 20,
    seed: Annotated[int, typer.Option(help="Of cases and training.")] = 0,
) -> None:
    """Simulate cases, train a small network, evaluate it, segment PNG and DICOM files: minutes on two cores."""
    from monai_lesion.commands.demo import run_demo

    typer.echo(run_demo(output, cases=cases, epochs=epochs, seed=seed, say=typer.echo))


@app.command()
def phantoms(
    output: Output,
    cases: Annotated[int, typer.Option(help="How many, two views each.")] = 48,
    seed: Annotated[int, typer.Option(help="Of the data set.")] = 0,
    formats: Annotated[str, typer.Option(help="Of the images: png, dicom or both.")] = "png",
    workers: Annotated[int | None, typer.Option(help="Processes; one a core.")] = None,
) -> None:
    """Simulate two-view cases with exact masks and write them with their manifest."""
    from monai_lesion.phantoms.files import write_phantoms

    typer.echo(write_phantoms(output, cases=cases, seed=seed, formats=listed(formats), workers=workers))


@manifest_app.command("create")
def manifest_create(
    folder: Annotated[Path, typer.Argument(help="Folder of the data.")],
    images: Annotated[str, typer.Option(help="Pattern of the images, e.g. 'images/{case}_{view}.png'.")],
    labels: Annotated[str, typer.Option(help="Pattern of the labels, e.g. 'masks/{case}_{view}.png'.")],
    output: Output,
    split: Annotated[str, typer.Option(help="Ratios or counts of patients: 0.6,0.2,0.2 or 208,70,70.")] = "0.6,0.2,0.2",
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    stratify: Annotated[str, typer.Option(help="Columns spread evenly over the splits, e.g. device,pathology.")] = "",
    calibration: Annotated[float, typer.Option(help="Share of the training patients kept for calibration.")] = 0.0,
    near_duplicates: NearDuplicates = False,
    table: Annotated[Path | None, typer.Option(help="CSV file with more columns.")] = None,
    key: Annotated[str, typer.Option(help="Column that joins table and images.")] = "case_id",
    name: Annotated[str, typer.Option(help="Of the data set.")] = "",
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    licence: Annotated[str, typer.Option(help="Under which it may be used.")] = "",
    reference: Annotated[str, typer.Option(help="Whom to cite.")] = "",
) -> None:
    """Make a manifest of a folder whose file names tell case and view; split by patient."""
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
    manifest: Annotated[Path, typer.Argument(help="The JSON file.")],
    dataset_dir: DatasetDir = None,
    splits: Annotated[
        str, typer.Option(help="Splits whose files are opened.")
    ] = "training,validation,test,calibration",
) -> None:
    """Check a manifest: schema, separation of patients, files, sizes, empty labels."""
    from monai_lesion.datasets.manifests import load_manifest

    loaded = load_manifest(manifest, dataset_dir, splits=listed(splits), progress=_bar)
    for split, entries in loaded.splits.items():
        cases = len({entry["case_id"] for entry in entries})
        checked = "" if split in listed(splits) else " (files not checked)"
        typer.echo(f"{split:<11}{len(entries):>7} images of {cases} cases{checked}")


@manifest_app.command("busbra")
def manifest_busbra(
    folder: Annotated[Path, typer.Argument(help="Folder with bus_data.csv and 5-fold-cv.csv.")],
    output: Output,
    dev: Annotated[
        bool, typer.Option(help="Test on fold 4, validate and calibrate on parts of folds 1-3; else folds 1-3 / 4 / 5.")
    ] = False,
) -> None:
    """Make the manifest of BUS-BRA from its official folds."""
    from monai_lesion.datasets.importers import busbra

    _write_manifest(busbra(folder, dev=dev), output)


@manifest_app.command("join")
def manifest_join(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more JSON files.")],
    output: Output,
    folders: Annotated[
        str, typer.Option(help="Where the data of each lie in the folder of all the data, e.g. busbra,busi; in itself.")
    ] = "",
) -> None:
    """Join manifests split by split; each entry keeps its manifest's name in the column dataset."""
    from monai_lesion.datasets.joins import inside_folders, join_manifests
    from monai_lesion.datasets.manifests import read_manifest

    _write_manifest(
        join_manifests([read_manifest(file) for file in manifests], inside_folders(listed(folders))), output
    )


@manifest_app.command("busi")
def manifest_busi(
    folder: Annotated[Path, typer.Argument(help="Folder with benign, malignant and normal.")],
    output: Output,
    groups: Annotated[
        Path | None, typer.Option(help="CSV file (class, file, group) of pictures that stay together.")
    ] = None,
    near_duplicates: NearDuplicates = False,
    split: Annotated[str, typer.Option(help="Ratios or counts of groups.")] = "0.6,0.15,0.25",
    calibration: Annotated[float, typer.Option(help="Share of the training groups kept for calibration.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
) -> None:
    """Make the manifest of BUSI, whole or in part, split by groups of near-duplicates and stratified by class."""
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
    files: Annotated[list[Path], typer.Argument(help="Images or folders: PNG, JPEG, DICOM ...")],
    output: Output,
    network: NetworkOptions,
    formats: Annotated[
        str, typer.Option(help="Of the results: png, nifti, json, overlay, dicom-seg, dicom-sr, sc.")
    ] = "png",
    seg_type: SegKind = SegType.BINARY,
    frame: Annotated[int | None, typer.Option(help="Frame of a cine, from 0; all of them.")] = None,
    skip_existing: Annotated[bool, typer.Option(help="Leave out images whose results exist; to go on.")] = False,
) -> None:
    """Segment images; each mask has its image's own rows and columns. One bad file does not stop the rest."""
    from monai_lesion.segmentation.batches import segment_files
    from monai_lesion.segmentation.results import FORMATS

    kinds = listed(formats)
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        raise InputError("--formats", f"must be of {', '.join(FORMATS)}", got=", ".join(unknown) or "none")
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
    typer.echo(f"{written} segmented, results in {output}")


@app.command()
def networks(
    width: Annotated[float, typer.Option(help="Of the U-nets: multiplies their channels, in steps of 1/16.")] = 1.0,
) -> None:
    """Show the networks of the paper: parameters, FLOPs of one 256 x 256 image, the paper's Dice."""
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
