"""What the trials of studies left, read back and checked to be comparable."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import read_object
from monai_lesion.measures.lesions import has_lesion
from monai_lesion.measures.tables import read_images
from monai_lesion.study.checks import STUDY
from monai_lesion.study.jobs import read_log
from monai_lesion.study.plans import read_choices
from monai_lesion.study.records import RECORD, read_record, with_present_keys

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its record, its log, and, when it was tested, its images.

    Args:
        folder: folder of the trial, or of its kept record.
        record: content of ``run.json``.
        log: one row per epoch.
        images: rows of ``per_image.csv``, measures as numbers, nan where there is none.
    """

    folder: Path
    record: Mapping[str, Any]
    log: Sequence[Mapping[str, float]] = ()
    images: Sequence[Mapping[str, Any]] = ()

    @property
    def entry(self) -> str:
        """The network's name in the table."""
        return str(self.record["entry"])

    @property
    def seed(self) -> int | None:
        """Of the training; None where it is not known."""
        return self.record.get("seed")

    def column(self, name: str) -> Numbers:
        """A measure of every image; Dice is nan where there is no lesion, and such images are counted apart."""
        known = [name != "dice" or has_lesion(row) for row in self.images]
        values = [row[name] if told else math.nan for row, told in zip(self.images, known, strict=True)]
        return np.array(values, dtype=np.float64)

    def mask(self, number: int) -> Path:
        """The predicted mask of an image; it may be absent from kept records."""
        return self.folder / "evaluation" / str(self.images[number].get("mask") or "absent")

    def image(self, number: int) -> Path:
        """The file of an image."""
        return self._root() / str(self.images[number].get("image") or "absent")

    def labels(self, number: int) -> list[Path]:
        """The mask files of an image, whose union is its reference; none without a lesion."""
        text = str(self.images[number].get("label") or "")
        files = json.loads(text) if text.startswith("[") else [text] if text or has_lesion(self.images[number]) else []
        return [self._root() / (file or "absent") for file in files]

    def _root(self) -> Path:
        data = self.record.get("manifest", {})
        return Path(data.get("dataset_dir") or Path(str(data.get("path", ""))).parent)


@dataclass(frozen=True)
class StudyRecords:
    """A study as far as it has come.

    Args:
        name: name of the study.
        title: above its table.
        table: which of the paper's, or empty.
        entries: names of its networks in the order of the table.
        trials: every trial with a record.
        choices: the weight decays chosen, by entry.
        seeds: how many are planned, by entry.
    """

    name: str
    title: str
    table: str
    entries: Sequence[str]
    trials: Sequence[TrialRecord]
    choices: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)

    def tested(self, entry: str) -> list[TrialRecord]:
        """The final networks of an entry, by seed."""
        found = [trial for trial in self.trials if trial.entry == entry and trial.images]
        return sorted(found, key=lambda trial: trial.seed or 0)

    def compared(self) -> dict[str, list[TrialRecord]]:
        """The entries that have been tested."""
        return {entry: tested for entry in self.entries if (tested := self.tested(entry))}

    def reference(self, wanted: str | None) -> str:
        """The tested network that the others are compared with: the one wanted where it is here, else the first."""
        networks = self.compared()
        return wanted if wanted in networks else next(iter(networks))

    def failed(self) -> list[TrialRecord]:
        """The trials that ended with an error."""
        return [trial for trial in self.trials if trial.record.get("error")]


def load_compared(folders: Sequence[str | Path], reference: str | None = None) -> list[StudyRecords]:
    """Read the studies that have a tested network.

    Args:
        folders: see :func:`load_studies`.
        reference: a network that the others are to be compared with; None for the first of each study.

    Raises:
        InputError: as :func:`load_studies`, and when no study has tested the reference.
    """
    studies = [study for study in load_studies(folders) if study.compared()]
    names = {entry for study in studies for entry in study.compared()}
    if reference is not None and reference not in names:
        raise InputError("--reference", f"must be one of {'; '.join(sorted(names))}", got=reference)
    return studies


def load_studies(folders: Sequence[str | Path]) -> list[StudyRecords]:
    """Read studies, or records that were kept of them.

    Args:
        folders: folders of studies, also over folds, or with one folder for each kept record.

    Returns:
        The studies, in the order of the folders.

    Raises:
        InputError: when a folder holds neither, nothing has been tested, or the results cannot be compared.
    """
    studies: dict[str, StudyRecords] = {}
    for folder in map(Path, folders):
        if folds := sorted(folder.glob(f"fold*/{STUDY}")):
            one = pooled([study for file in folds for study in load_studies([file.parent])])
            if one.name in studies:
                raise InputError(folder, "studies must differ in name", got=f"{one.name!r} twice")
            studies[one.name] = one
            continue
        trials = [_read_trial(place) for place in _places(folder)]
        if not trials:
            fix = "Run a study first (monai-lesion study run)"
            raise InputError(folder, "must hold the trials of a study, or kept records", got="neither", fix=fix)
        for name in dict.fromkeys(str(trial.record["study"]) for trial in trials):
            own = [trial for trial in trials if trial.record["study"] == name]
            if name in studies:
                raise InputError(folder, "studies must differ in name", got=f"{name!r} twice")
            studies[name] = _study(folder, name, own)
    for study in studies.values():
        check_comparable(study)
    if not any(study.compared() for study in studies.values()):
        got = f"{sum(len(study.trials) for study in studies.values())} trials without a test result"
        raise InputError(folders[0], "at least one network must have been tested", got=got)
    return list(studies.values())


def pooled(folds: Sequence[StudyRecords]) -> StudyRecords:
    """Join the folds of a study: each network and seed is one trial, tested on the images of all folds.

    A network that is not yet tested on every fold is left out. Its log is that of the first fold, its time the sum.

    Args:
        folds: the study on each fold.

    Raises:
        InputError: when the folds are those of different studies.
    """
    first = folds[0]
    different = [fold.name for fold in folds if fold.name != first.name]
    if different:
        raise InputError("folds", "must be of one study", got=f"{first.name} and {different[0]}")
    tested = [{(trial.entry, trial.seed): trial for trial in fold.trials if trial.images} for fold in folds]
    trials = []
    for key, trial in tested[0].items():
        parts = [found[key] for found in tested if key in found]
        if len(parts) < len(folds):
            continue
        decays = unique(part.record.get("weight_decay") for part in parts)
        manifests = [part.record.get("manifest", {}) for part in parts]
        record = {
            **trial.record,
            "weight_decay": decays[0] if len(decays) == 1 else None,
            "wall_seconds": sum(part.record.get("wall_seconds", 0.0) for part in parts),
            "manifest": {**manifests[0], "file_sha256": " ".join(str(each.get("file_sha256")) for each in manifests)},
        }
        rows = [
            {**row, "mask": str(part.mask(number).absolute())}
            for part in parts
            for number, row in enumerate(part.images)
        ]
        trials.append(replace(trial, record=record, images=rows))
    title = f"{first.title or first.name}, {len(folds)} folds"
    return replace(first, title=title, trials=trials, choices={})


def _places(folder: Path) -> list[Path]:
    trials = [file.parent for pattern in (f"trials/*/*/{RECORD}", f"*/{RECORD}") for file in folder.glob(pattern)]
    by_hand = [file.parent for file in folder.glob("*/per_image.csv") if (file.parent / "summary.json").is_file()]
    return sorted({*trials, *by_hand})


def _read_trial(folder: Path) -> TrialRecord:
    record = read_record(folder)
    if "study" not in record:  # made by hand and not by a study; facts may be noted in a run.json
        record = {**_from_summary(folder), **record}
    tables = [folder / "evaluation" / "per_image.csv", folder / "per_image.csv"]
    logs = [folder / "models" / "metrics.csv", folder / "metrics.csv"]
    images = next((read_images(file) for file in tables if file.is_file()), [])
    log = next((read_log(file) for file in logs if file.is_file()), [])
    return TrialRecord(folder, record, log, images)


def _from_summary(folder: Path) -> dict[str, Any]:
    """The record of a single evaluation."""
    summary = read_object(folder / "summary.json", "must be the summary of an evaluation")
    name = str(summary.get("network", folder.name))
    manifest = {"name": summary.get("manifest", ""), "file_sha256": None}
    known = {key: with_present_keys(summary).get(key) for key in ("weights_id", "weights_file_sha256", "order")}
    return {"study": folder.name, "entry": name, "manifest": manifest, **known}


def _study(folder: Path, name: str, trials: list[TrialRecord]) -> StudyRecords:
    file = folder / STUDY
    if file.is_file():
        content = read_object(file)["study"]
        entries = [entry["name"] for entry in content["networks"]]
        seeds = {entry["name"]: len(entry["seeds"]) for entry in content["networks"]}
        return StudyRecords(name, content["title"], content["table"], entries, trials, read_choices(folder), seeds)
    kept = [trial.record.get("kept", {}) for trial in trials]
    order = sorted(zip(kept, trials, strict=True), key=lambda pair: pair[0].get("position", 0))
    planned = [entry for about in kept for entry in about.get("networks", ())]
    entries = unique([*planned, *(trial.entry for _, trial in order)])
    choices = {trial.entry: about["choice"] for about, trial in order if about.get("choice")}
    seeds = {trial.entry: about.get("seeds", 0) for about, trial in order}
    first = kept[0]
    return StudyRecords(name, first.get("title", ""), first.get("table", ""), entries, trials, choices, seeds)


def check_comparable(study: StudyRecords) -> None:
    """Refuse to put into one table what is not to be compared.

    Raises:
        InputError: when manifests, resolutions, test images or the order of the postprocessing differ.
    """
    tested = [trial for results in study.compared().values() for trial in results]
    for what, values in (
        ("manifest", [trial.record.get("manifest", {}).get("file_sha256") for trial in tested]),
        ("input resolution", [tuple(trial.record.get("spatial_size") or ()) for trial in tested]),
        ("set of test images", [tuple(row["image"] for row in trial.images) for trial in tested]),
    ):
        different = [trial for trial, value in zip(tested, values, strict=True) if value != values[0]]
        if different:
            shown = f"{_short(values[0])} in {tested[0].folder}"
            other = values[tested.index(different[0])]
            got = f"{shown}, {_short(other)} in {different[0].folder}"
            fix = "Report on them apart"
            raise InputError(study.name, f"a table must have one {what}", got=got, fix=fix)


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return f"{len(value)} images"
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)[:12]


def unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order."""
    return list(dict.fromkeys(values))
