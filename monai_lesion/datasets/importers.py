"""Make a manifest from a folder as people have them: masks, LabelMe or COCO files, split by patient."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.datasets.busi import busi, is_busi
from monai_lesion.datasets.drawings import MASKS, Drawing, MaskFolder, find_drawings
from monai_lesion.datasets.entries import SPLITS, Entry
from monai_lesion.datasets.file_checks import check_pixels_apart
from monai_lesion.datasets.folds import fold_manifests
from monai_lesion.datasets.manifests import check_content
from monai_lesion.datasets.mask_values import ALL, Choice
from monai_lesion.datasets.near_duplicates import find_near_duplicates, joined_groups
from monai_lesion.datasets.patterns import as_entries
from monai_lesion.datasets.splits import deal
from monai_lesion.datasets.tables import with_columns
from monai_lesion.errors import InputError, listing
from monai_lesion.images.reading import read_mask_values

logger = logging.getLogger(__name__)

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Reading:
    """How a folder is read.

    Args:
        allow_empty: an empty mask, or a LabelMe or COCO file without a shape, means a picture without a lesion.
        allow_missing: a picture without any mask or annotation has no lesion.
        repeated_views: a case may have several pictures of one view; they are numbered.
        choice: which values of the masks are lesion.
        names: labels of LabelMe or categories of COCO that are lesions; empty for all.
        masks_dir: folder, inside that of the data, for masks that are made from outlines or by ``choice``.
        table: CSV file with further columns.
        key: column by which rows of the table are matched to entries, see
            :func:`monai_lesion.datasets.tables.with_columns`.
        near_duplicates: treat patients with look-alike pictures as one, with the ``patient_id`` of the first, see
            :func:`monai_lesion.datasets.near_duplicates.find_near_duplicates`.
    """

    allow_empty: bool = False
    allow_missing: bool = False
    repeated_views: bool = False
    choice: Choice = ALL
    names: Sequence[str] = ()
    masks_dir: str | Path | None = None
    table: str | Path | None = None
    key: str = "case_id"
    near_duplicates: bool = False


def create_manifest(
    dataset_dir: str | Path,
    images: str | None = None,
    labels: str | None = None,
    *,
    reading: Reading | None = None,
    split: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: Sequence[str] = (),
    calibration: float = 0.0,
    about: Mapping[str, str] | None = None,
    drawings: Sequence[Drawing] | None = None,
    progress: Progress = iter,
) -> dict[str, Any]:
    """Make a manifest of a folder, split by patient, and check it with every file.

    Args:
        dataset_dir: the folder; paths in the manifest start from it.
        images: pattern of the image files, such as ``{case}_{view}.png``, see
            :mod:`monai_lesion.datasets.patterns`; None takes every picture for a case of its own.
        labels: pattern of the mask files, where ``*`` takes several of a picture, or of LabelMe's JSON files; or the
            path of a COCO file. None looks for what there is.
        reading: how the folder is read.
        split: three numbers of patients, or three shares, for training, validation and test.
        seed: random seed for the split.
        stratify: columns to balance over the splits.
        calibration: share of the training patients to move to the list ``calibration``; 0 makes no such list.
        about: ``name`` of the data set, by default the folder's, ``description``, ``licence`` and ``reference``.
        drawings: the pictures and what was drawn on them, where that is known; None looks in the folder.
        progress: wraps the files, for a progress bar.

    Raises:
        InputError: when the arguments do not fit the folder, or `monai-lesion manifest check` would refuse the result.
            Masks that were made are removed then.
    """
    dealing: Any = {"seed": seed, "stratify": stratify, "calibration": calibration}

    def divide(content: dict[str, Any], entries: list[Entry]) -> list[dict[str, Any]]:
        return [{**content, **deal(entries, split, **dealing)}]

    options: Any = {"reading": reading or Reading(), "about": about or {}, "drawings": drawings, "progress": progress}
    if images is None and labels is None and drawings is None and is_busi(Path(dataset_dir)):
        logger.info("%s is laid out as BUSI is published: pictures that look alike become one case", dataset_dir)
        content = busi(dataset_dir, near_duplicates=True, split=split, calibration=calibration, seed=seed)
        check_content(content, Path(dataset_dir), Path(dataset_dir), progress=progress)
        return content
    return _create(Path(dataset_dir), images, labels, divide, **options)[0]


def create_folds(
    dataset_dir: str | Path,
    images: str | None = None,
    labels: str | None = None,
    *,
    folds: int,
    reading: Reading | None = None,
    seed: int = 0,
    stratify: Sequence[str] = (),
    calibration: float = 0.0,
    about: Mapping[str, str] | None = None,
    progress: Progress = iter,
) -> list[dict[str, Any]]:
    """Make a manifest of a folder for each fold of a cross-validation, by patient.

    Args:
        dataset_dir: see :func:`create_manifest`, as the rest.
        images: see there.
        labels: see there.
        folds: number of folds, see :func:`monai_lesion.datasets.folds.fold_manifests`.
        reading: see there.
        seed: see there.
        stratify: see there.
        calibration: see there.
        about: see there.
        progress: see there.

    Raises:
        InputError: as there.
    """
    dealing: Any = {"seed": seed, "stratify": stratify, "calibration": calibration}

    def divide(content: dict[str, Any], entries: list[Entry]) -> list[dict[str, Any]]:
        return fold_manifests({**content, "training": entries}, folds, **dealing)

    if images is None and labels is None and is_busi(Path(dataset_dir)):
        return fold_manifests(busi(dataset_dir, near_duplicates=True), folds, **dealing)
    options: Any = {"reading": reading or Reading(), "about": about or {}, "progress": progress}
    return _create(Path(dataset_dir), images, labels, divide, **options)


def _create(
    root: Path,
    images: str | None,
    labels: str | None,
    divide: Callable[[dict[str, Any], list[Entry]], list[dict[str, Any]]],
    *,
    reading: Reading,
    about: Mapping[str, str],
    progress: Progress,
    drawings: Sequence[Drawing] | None = None,
) -> list[dict[str, Any]]:
    if not root.is_dir():
        raise InputError(root, "must be the folder of the data", got="no folder")
    made = MaskFolder(root, reading.masks_dir or root / MASKS)
    try:
        if drawings is None:
            drawings = find_drawings(root, images, labels, names=reading.names, skipped=made.folder)
        entries = gather(root, drawings, reading=reading, made=made, progress=progress)
        told = {key: about.get(key, "") for key in ("description", "licence", "reference")}
        name = about.get("name") or root.absolute().name
        contents = divide({"name": name, **told, "labels": {"1": "lesion"}}, entries)
        check_content(contents[0], root, root, progress=progress)
        for each in contents[1:]:  # of the same files
            check_pixels_apart(root, root, [(split, entry) for split in SPLITS for entry in each.get(split, ())])
    except BaseException:
        made.undo()
        raise
    return contents


def gather(
    root: Path,
    drawings: Sequence[Drawing],
    *,
    reading: Reading,
    made: MaskFolder,
    progress: Progress = iter,
) -> list[Entry]:
    """List the pictures of a folder with their masks, as entries of a manifest that are in no split yet.

    Args:
        root: the folder.
        drawings: the pictures and what was drawn on them.
        reading: how the folder is read.
        made: where masks are written that have to be made.
        progress: wraps the pictures whose masks are opened.

    Raises:
        InputError: when a picture has neither a mask nor leave to have none.
    """
    entries = as_entries([each.named for each in drawings], repeated_views=reading.repeated_views)
    if reading.table is not None:
        entries = with_columns(entries, Path(reading.table), reading.key)
    drawn_on = {each.named.path: each for each in drawings}
    missing, empty = [], []
    listed: list[Entry] = []
    opened = reading.allow_empty or bool(reading.choice) or any(each.draw is not None for each in drawings)
    for entry in progress(entries) if opened else entries:
        drawing = drawn_on[entry["image"]]
        if not drawing.drawn:
            if not (reading.allow_missing or entry.get("empty")):
                missing.append(drawing.wanted)
            listed.append(_with_label(entry, None, empty=True))
            continue
        label: list[str] = list(drawing.masks)
        if opened:
            mask = drawing.mask(root, reading.choice)
            if not mask.any() and not entry.get("empty"):
                if not reading.allow_empty:
                    empty.append(entry["image"])
                entry = {**entry, "empty": True}
            if drawing.draw is not None or reading.choice:
                label = [made.write(entry["image"], mask)]
        listed.append(_with_label(entry, label[0] if len(label) == 1 else label))
    if missing:
        fix = "If these pictures have no lesion, say so with --allow-missing"
        raise InputError(root, "each image must have a label", got=listing([f"no {each}" for each in missing]), fix=fix)
    if len(empty) == len(entries) and reading.choice:
        rule = "--lesion-value must be a value of the masks, and --threshold none above all of them"
        raise InputError(root, rule, got=f"no lesion in any of {len(empty)} masks, {_values(root, drawings[0])}")
    if empty:
        fix = "If these pictures have no lesion, say so with --allow-empty"
        got = f"nothing drawn on {listing(empty)}"
        raise InputError(root, "a label must not be empty", got=got, fix=fix)
    return _one_patient_a_look(root, listed, progress) if reading.near_duplicates else listed


def _values(root: Path, drawing: Drawing) -> str:
    """What the masks of a picture hold, for a message."""
    values = sorted(
        {int(value) for file in drawing.masks for value in np.unique(read_mask_values(root / file, lossy=True))}
    )
    return f"such as that of {drawing.named.path}, which holds {listing(list(map(str, values)))}"


def _with_label(entry: Entry, label: Any, *, empty: bool = False) -> Entry:
    """The entry with its label in third place, after case and view."""
    first = {key: entry[key] for key in ("case_id", "view", "image")}
    rest = {key: value for key, value in entry.items() if key not in (*first, "label")}
    return {**first, "label": label, **rest, **({"empty": True} if empty else {})}


def _one_patient_a_look(root: Path, entries: list[Entry], progress: Progress) -> list[Entry]:
    """Give patients with look-alike pictures the same ``patient_id``; the others keep theirs."""
    frames = [entry.get("frame") for entry in entries]
    looks = find_near_duplicates([root / entry["image"] for entry in entries], frames=frames, progress=progress)
    patients = [str(entry.get("patient_id", entry["case_id"])) for entry in entries]
    first = joined_groups([entry["image"] for entry in entries], patients, [str(look) for look in looks])
    patient_of = dict(zip((entry["image"] for entry in entries), patients, strict=True))
    joined = []
    for entry, patient in zip(entries, patients, strict=True):
        chosen = patient_of[first[entry["image"]]]
        joined.append(entry if chosen == patient else {**entry, "patient_id": chosen})
    return joined
