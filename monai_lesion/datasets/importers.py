"""Make manifests: from a folder with a naming pattern, or from a public data set with its official split."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.datasets.manifests import SHOWN, Entry
from monai_lesion.datasets.splits import DEALT, deal, set_aside
from monai_lesion.errors import InputError

_FIELDS = {"case": "case_id", "patient": "patient_id"}  # the pattern's short words
_PLACE = re.compile(r"\{([A-Za-z]\w*)\}")
_KEPT = ("image", "label", "empty")  # what an entry says itself


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern such as ``images/{case}_{view}.png``; ``*`` is any text but ``/``."""
    parts: list[str] = []
    known: set[str] = set()
    for part in re.split(r"(\{[A-Za-z]\w*\}|\*)", pattern):
        place = _PLACE.fullmatch(part)
        if part == "*":
            parts.append("[^/]*")
        elif place is None:
            parts.append(re.escape(part))
        else:
            name = place[1]
            parts.append(f"(?P={name})" if name in known else f"(?P<{name}>[^/]+?)")
            known.add(name)
    return re.compile("".join(parts))


def _places(pattern: str) -> set[str]:
    return set(_PLACE.findall(pattern))


def scan_folder(dataset_dir: str | Path, images: str, labels: str) -> list[Entry]:
    """List the images of a folder whose file names give case and view.

    Args:
        dataset_dir: the folder of the data.
        images: pattern of the image files, relative to the folder: ``{case}`` is required, ``{view}``, ``{patient}``
            and any other ``{column}`` are optional; ``*`` is any text.
        labels: pattern of the label files, filled in from the image's name.

    Returns:
        One entry per image, sorted by path; ``view`` is ``"single"`` if the pattern has none. A file that is
        another's label is not taken as an image.

    Raises:
        InputError: when a pattern is wrong or matches no file, or a label is missing.

    Example:
        >>> scan_folder("data", "images/{case}_{view}.png", "masks/{case}_{view}.png")  # doctest: +SKIP
        [{'case_id': '0001', 'view': 'front', 'image': 'images/0001_front.png', ...}, ...]
    """
    root = Path(dataset_dir)
    if not root.is_dir():
        raise InputError(root, "must be the folder of the data", got="no folder")
    if "case" not in _places(images):
        raise InputError("images", "the pattern must hold {case}", got=images, fix="For example {case}_{view}.png")
    for name in _KEPT:
        if name in _places(images):
            raise InputError("images", f"the pattern cannot hold {{{name}}}", got=images, fix="Choose another word")
    if not _places(labels) <= _places(images) or "*" in labels:
        known = ", ".join(f"{{{name}}}" for name in sorted(_places(images)))
        raise InputError("labels", f"the pattern may hold {known} and no *", got=labels)
    expression = _expression(images)
    matches = [
        (path, match.groupdict())
        for path in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        if (match := expression.fullmatch(path)) is not None
    ]
    # In one folder, the pattern of the images often fits the labels as well.
    label_of = {path: _PLACE.sub(lambda place: fields[place[1]], labels) for path, fields in matches}  # noqa: B023
    masks = set(label_of.values())
    entries: list[Entry] = []
    absent: list[str] = []
    for path, fields in matches:
        label = label_of[path]
        if label == path:
            raise InputError("labels", "the pattern must not give the image itself", got=labels)
        if path in masks:
            continue
        if not (root / label).is_file():
            absent.append(f"{label} of {path}")
        named = {_FIELDS.get(key, key): value for key, value in fields.items()}
        first = {"case_id": named.pop("case_id"), "view": named.pop("view", "single")}
        entries.append({**first, "image": path, "label": label, **named})
    if not entries:
        raise InputError(root, f"must hold files named {images}", got="none", fix="Paths are relative to the folder")
    if absent:
        listed = ", ".join(absent[:SHOWN]) + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else "")
        raise InputError(root, "each image must have a label", got=f"no file {listed}")
    return _distinct_cases(entries)


def _distinct_cases(entries: list[Entry]) -> list[Entry]:
    """Put the patient before the case where two patients have a case of the same name, such as "lesion1"."""
    patients: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        patients[entry["case_id"]].add(entry.get("patient_id", ""))
    return [
        {**entry, "case_id": f"{entry['patient_id']}/{entry['case_id']}"}
        if len(patients[entry["case_id"]]) > 1
        else entry
        for entry in entries
    ]


def create_manifest(
    dataset_dir: str | Path,
    images: str,
    labels: str,
    *,
    split: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: Sequence[str] = (),
    calibration: float = 0.0,
    near_duplicates: bool = False,
    table: str | Path | None = None,
    key: str = "case_id",
    name: str = "",
    description: str = "",
    licence: str = "",
    reference: str = "",
) -> dict[str, Any]:
    """Make a manifest of a folder, split by patient.

    Args:
        dataset_dir: the folder of the data.
        images: pattern of the images, see :func:`scan_folder`.
        labels: pattern of the labels.
        split: three numbers of patients (the paper has 208, 70, 70) or three shares.
        seed: random seed for the split.
        stratify: columns to balance over the splits.
        calibration: share of the training patients to move to the list ``calibration``; 0 makes no such list.
        near_duplicates: treat patients with look-alike pictures as one, with the ``patient_id`` of the first, see
            :func:`monai_lesion.datasets.near_duplicates.find_near_duplicates`.
        table: CSV file with further columns.
        key: column by which rows of the table are matched to entries.
        name: name of the data set; empty takes the folder's.
        description: description of the data set.
        licence: licence of the data set.
        reference: publication to cite.

    Raises:
        InputError: when the arguments do not fit the folder.
    """
    entries = scan_folder(dataset_dir, images, labels)
    if table is not None:
        rows: dict[str, dict[str, str]] = {}
        for row in table_rows(Path(table), [key]):
            if rows.setdefault(row[key], row) != row:
                raise InputError(table, f"must have one row for each {key}", got=f"two that differ for {row[key]}")
        for entry in entries:
            if entry.get(key) not in rows:
                raise InputError(table, f"must have a row for each {key}", got=f"none for {entry.get(key)}")
            entry.update({column: value for column, value in rows[entry[key]].items() if column not in entry})
    if near_duplicates:
        entries = _one_patient_a_look(Path(dataset_dir), entries)
    about = {"description": description, "licence": licence, "reference": reference, "labels": {"1": "lesion"}}
    lists = deal(entries, split, seed=seed, stratify=stratify, calibration=calibration)
    return {"name": name or Path(dataset_dir).absolute().name, **about, **lists}


def _one_patient_a_look(root: Path, entries: list[Entry]) -> list[Entry]:
    """Give patients with look-alike pictures the same ``patient_id``; the others keep theirs."""
    from monai_lesion.datasets.near_duplicates import find_near_duplicates, joined_groups

    looks = find_near_duplicates([root / entry["image"] for entry in entries])
    patients = [str(entry.get("patient_id", entry["case_id"])) for entry in entries]
    first = joined_groups([entry["image"] for entry in entries], patients, [str(look) for look in looks])
    patient_of = dict(zip((entry["image"] for entry in entries), patients, strict=True))
    joined = []
    for entry, patient in zip(entries, patients, strict=True):
        chosen = patient_of[first[entry["image"]]]
        joined.append(entry if chosen == patient else {**entry, "patient_id": chosen})
    return joined


def table_rows(file: Path, columns: Sequence[str], fix: str = "") -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file.

    Args:
        file: CSV file in UTF-8 that starts with a line of column names.
        columns: columns it must have.
        fix: advice for the error message.

    Raises:
        InputError: when the file does not exist, lacks a column, or has a line with too few or too many values.
    """
    if not file.is_file():
        raise InputError(file, "must be a CSV file", got="no file", fix=fix)
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                found = ", ".join(reader.fieldnames or []) or "none"
                raise InputError(file, f"must have the column {missing[0]}", got=found, fix=fix)
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(file, "each line must have as many values as there are columns", got=row)
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(file, "must be a CSV file in UTF-8", got=error) from error


_BUSBRA_COLUMNS = ("ID", "Case", "Histology", "Pathology", "BIRADS", "Device", "Side")
_BUSBRA_FIX = "Name the folder of BUS-BRA, with bus_data.csv and 5-fold-cv.csv"


def busbra(csv_dir: str | Path, *, dev: bool = False, seed: int = 0) -> dict[str, Any]:
    """Make the manifest for BUS-BRA from its official CSV files.

    Args:
        csv_dir: folder with ``bus_data.csv`` and ``5-fold-cv.csv``; paths in the manifest start from it.
        dev: False for folds 1-3 / 4 / 5; True for test = fold 4, validation = 15 % of the cases of folds 1-3,
            calibration = 15 % of the others, both stratified by pathology and device, training = the rest.
        seed: random seed that chooses the validation and calibration cases with ``dev``.

    Raises:
        InputError: when a CSV file is missing, or an image has no fold.

    Source:
        Gomez-Flores, Gregorio-Calas, Pereira: BUS-BRA, Medical Physics 2024, https://doi.org/10.5281/zenodo.8231412.
    """
    table, folds = Path(csv_dir) / "bus_data.csv", Path(csv_dir) / "5-fold-cv.csv"
    fold_of = {row["ID"]: row["kFold"] for row in table_rows(folds, ["ID", "kFold"], _BUSBRA_FIX)}
    lists: dict[str, list[Entry]] = {split: [] for split in DEALT}
    for row in table_rows(table, _BUSBRA_COLUMNS, _BUSBRA_FIX):
        fold = fold_of.get(row["ID"], "")
        if fold not in ("1", "2", "3", "4", "5"):
            raise InputError(folds, "must give each image a fold from 1 to 5", got=f"{fold or 'none'} for {row['ID']}")
        name = row["ID"].removeprefix("bus_")
        case, _, view = name.rpartition("-")
        if view not in ("l", "r", "s") or not case:
            raise InputError(table, "each ID must be a case and l, r or s, such as bus_0001-l", got=row["ID"])
        entry = {
            "case_id": case,
            "view": view,
            "image": f"Images/bus_{name}.png",
            "label": f"Masks/mask_{name}.png",
            "pathology": row["Pathology"],
            "device": row["Device"],
            "histology": row["Histology"],
            "birads": row["BIRADS"],
            "side": row["Side"],
            "fold": int(fold),
        }
        if int(fold) <= 3:
            lists["training"].append(entry)
        elif int(fold) == 4:
            lists["test" if dev else "validation"].append(entry)
        elif not dev:
            lists["test"].append(entry)
    if dev:
        for split in ("validation", "calibration"):
            lists["training"], lists[split] = set_aside(
                lists["training"], 0.15, seed=seed, stratify=("pathology", "device")
            )
    names = "Training / validation / test / calibration" if dev else "Training / validation / test"
    parts = "the rest of folds 1-3 / 15 % of their cases / fold 4 / 15 % of the others" if dev else "folds 1-3 / 4 / 5"
    about = f"Breast ultrasound, mostly two views of a biopsied lesion. {names}:"
    return {
        "name": "BUS-BRA (development)" if dev else "BUS-BRA",
        "description": f"{about} {parts}",
        "licence": "Use and redistribution with the notice of LICENSE.txt and citation of the reference",
        "reference": "W. Gómez-Flores, M. J. Gregorio-Calas, W. C. de Albuquerque Pereira, BUS-BRA: A breast "
        "ultrasound dataset for assessing computer-aided diagnosis systems, Medical Physics 51 (2024), "
        "doi:10.1002/mp.16812",
        "labels": {"1": "lesion"},
        **lists,
    }
