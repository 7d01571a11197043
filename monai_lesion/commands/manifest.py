"""The commands `manifest create`, `check`, `join`, `from-labels`, `busbra` and `busi`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lesion.commands.parsing import listed, numbers
from monai_lesion.errors import InputError

Output = Annotated[Path, typer.Option("--output", "-o", help="Manifest (JSON) to write.")]
DatasetDir = Annotated[
    Path | None,
    typer.Option(
        "--dataset-dir",
        "--dataset_dir",
        help="Folder that the paths in the manifest start from.",
        show_default="the manifest's folder",
    ),
]
NearDuplicates = Annotated[bool, typer.Option(help="Keep look-alike pictures in one split; reads every picture.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    text = "Make and check manifests, the JSON files that list images and labels."
    group = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(group, name="manifest")
    for command in (create, check, join, from_labels, busbra, busi):
        group.command(command.__name__.replace("_", "-"))(command)


def create(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the data.")],
    output: Output,
    images: Annotated[
        str | None,
        typer.Option(
            help="What the images' names mean, e.g. 'images/{case}_{view}.png' or '{centre}/{patient}/*/{view}.*'.",
            show_default="each picture is a case of its own",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Where the masks are: 'masks/{case}_{view}.png', '{case}_mask*.png', a COCO file, masks, labelme.",
            show_default="look for masks, LabelMe files or a COCO file",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Shares or numbers of patients to train, validate and test: 0.6,0.2,0.2 or 208,70,70.")
    ] = "0.6,0.2,0.2",
    folds: Annotated[
        int | None,
        typer.Option(help="Write a manifest for each of so many folds instead of one split.", show_default="none"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
    stratify: Annotated[
        str, typer.Option(help="Columns to balance over the splits, e.g. device,pathology.", show_default="none")
    ] = "",
    calibration: Annotated[
        float, typer.Option(help="Share of the training patients to set aside for calibration.")
    ] = 0.0,
    near_duplicates: NearDuplicates = False,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="An empty mask means: no lesion.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A picture without any mask has no lesion.")
    ] = False,
    repeated_views: Annotated[
        bool, typer.Option("--repeated-views", help="A case may have several pictures of a view; number them.")
    ] = False,
    lesion_value: Annotated[
        str, typer.Option(help="Values of the masks that are lesion, e.g. 2.", show_default="all above 0")
    ] = "",
    threshold: Annotated[
        float | None, typer.Option(help="Smallest value of the masks that is lesion, e.g. 128.", show_default="none")
    ] = None,
    lesion_names: Annotated[
        str, typer.Option(help="Labels of LabelMe or categories of COCO that are lesions.", show_default="all")
    ] = "",
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder for masks that have to be made.", show_default="lesion_masks in the data's folder"),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV file with further columns for each image.")] = None,
    key: Annotated[
        str, typer.Option(help="Column of --table that says which image: case_id, patient_id, or a file's name.")
    ] = "case_id",
    name: Annotated[str, typer.Option(help="Name of the data set.", show_default="the folder's name")] = "",
    description: Annotated[str, typer.Option(help="Description of the data set.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the data set.")] = "",
    reference: Annotated[str, typer.Option(help="Publication to cite.")] = "",
) -> None:
    """Make a manifest of a folder, split by patient, and check it.

    Takes masks, LabelMe files, a COCO file, and BUSI as published. --images says which part of a file name is the
    patient, the case and the view.
    """
    from monai_lesion.datasets.importers import Reading, create_folds, create_manifest
    from monai_lesion.datasets.mask_values import Choice

    reading = Reading(
        allow_empty=allow_empty,
        allow_missing=allow_missing,
        repeated_views=repeated_views,
        choice=Choice(tuple(map(int, numbers("--lesion-value", lesion_value))), threshold),
        names=listed(lesion_names),
        masks_dir=masks,
        table=table,
        key=key,
        near_duplicates=near_duplicates,
    )
    about = {"name": name, "description": description, "licence": licence, "reference": reference}
    options: dict[str, Any] = {
        **{"reading": reading, "seed": seed, "stratify": listed(stratify), "calibration": calibration},
        **{"about": about, "progress": _bar},
    }
    if folds is None:
        shares = numbers("--split", split)
        _write_manifest(create_manifest(folder, images, labels, split=shares, **options), output, folder)
        return
    for number, content in enumerate(create_folds(folder, images, labels, folds=folds, **options), start=1):
        _write_manifest(content, output.with_name(f"{output.stem}-fold{number}{output.suffix or '.json'}"), folder)


def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest (JSON) to check.")],
    dataset_dir: DatasetDir = None,
    splits: Annotated[str, typer.Option(help="Splits whose files to open.")] = "training,validation,test,calibration",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a manifest and the files it lists.

    Checks the schema, that no patient is in two splits, that every file opens, that label and image have the same
    size, and that no label is empty by mistake.
    """
    from monai_lesion.datasets.manifests import load_manifest

    opened = listed(splits)
    loaded = load_manifest(manifest, dataset_dir, splits=opened, progress=_bar)
    counts = {
        split: {
            "images": len(entries),
            "cases": len({entry["case_id"] for entry in entries}),
            "opened": split in opened,
        }
        for split, entries in loaded.splits.items()
    }
    if not any(loaded.splits.values()):
        raise InputError(manifest, "must list images", got="none", fix="Make it with monai-lesion manifest create")
    if as_json:
        typer.echo(json.dumps(counts, indent=2))
        return
    for split, found in counts.items():
        checked = "" if found["opened"] else " (files not checked)"
        typer.echo(f"{split:<11}{found['images']:>7} images of {found['cases']} cases{checked}")


def busbra(
    folder: Annotated[Path, typer.Argument(help="Folder with bus_data.csv and 5-fold-cv.csv.")],
    output: Output,
    dev: Annotated[
        bool,
        typer.Option(
            help="Test on fold 4 and leave fold 5 untouched; validation and calibration are parts of folds 1-3. "
            "Otherwise train on folds 1-3, validate on 4, test on 5."
        ),
    ] = False,
) -> None:
    """Make the manifest for BUS-BRA from its official folds."""
    from monai_lesion.datasets import busbra as importer

    _write_manifest(importer.busbra(folder, dev=dev), output)


def join(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more manifests.")],
    output: Output,
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


def from_labels(
    studies: Annotated[Path, typer.Argument(help="Folder of images of a MONAI Label server.")],
    output: Output,
    images: Annotated[
        str | None,
        typer.Option(
            help="What the images' names mean, e.g. '{case}_{view}.png'.",
            show_default="each image is a case of its own",
        ),
    ] = None,
    tag: Annotated[str, typer.Option(help="Which labels: final, or original for those of a batch.")] = "final",
    split: Annotated[
        str, typer.Option(help="Shares or numbers of patients to train, validate and test.")
    ] = "0.6,0.2,0.2",
    calibration: Annotated[
        float, typer.Option(help="Share of the training patients to set aside for calibration.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
) -> None:
    """Make a manifest of the images that were corrected in MONAI Label, split by patient."""
    from monai_lesion.datasets.importers import create_manifest
    from monai_lesion.label.corrections import corrected

    shares, drawings = numbers("--split", split), corrected(studies, images, tag=tag)
    options: dict[str, Any] = {"calibration": calibration, "seed": seed, "progress": _bar}
    _write_manifest(create_manifest(studies, split=shares, drawings=drawings, **options), output, studies)


def busi(
    folder: Annotated[Path, typer.Argument(help="Folder that holds benign, malignant and normal.")],
    output: Output,
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
    from monai_lesion.datasets import busi as importer

    content = importer.busi(
        folder,
        groups=groups,
        near_duplicates=near_duplicates,
        split=numbers("--split", split),
        calibration=calibration,
        seed=seed,
    )
    _write_manifest(content, output, folder)


def _write_manifest(content: dict[str, Any], output: Path, folder: Path | None = None) -> None:
    from monai_lesion.datasets.entries import SPLITS
    from monai_lesion.datasets.manifests import write_manifest

    typer.echo(write_manifest(content, output))
    typer.echo(", ".join(f"{split} {len(content[split])}" for split in SPLITS if split in content))
    if folder is not None and output.parent.resolve() != folder.resolve():
        typer.echo(f"Its paths start from {folder}: name it to the commands that use the manifest, as --dataset-dir")


def _bar(items: Any) -> Any:
    from monai_lesion.datasets.defaults import checking

    return checking(items)
