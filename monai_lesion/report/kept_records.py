"""Keep records of trials that are small enough to commit: numbers for every image, no pictures."""

from __future__ import annotations

import csv
import math
import re
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from monai_lesion.files import replacing
from monai_lesion.measures.lesions import COUNTS
from monai_lesion.measures.metrics import FAILURES, MEASURES
from monai_lesion.report.studies import StudyRecords, TrialRecord
from monai_lesion.study.records import write_record
from monai_lesion.study.specifications import folder_name

COLUMNS = ("image", "case_id", "view")


def keep_records(studies: Sequence[StudyRecords], folder: Path) -> list[Path]:
    """Write one folder for each tested network and seed: ``run.json``, ``metrics.csv``, ``per_image.csv``.

    Leaves out the machine's paths and rounds measures to five decimals. You can make a report from the folder, without
    pictures. A failed trial keeps the kind of its error but not the message, which may name files.

    Args:
        studies: studies to keep.
        folder: where to write.

    Returns:
        The folders written.
    """
    kept = []
    for study in studies:
        tested = study.compared()
        failed = [trial for trial in study.failed() if not trial.images and trial.entry in study.entries]
        for trial in (*chain(*tested.values()), *failed):
            about = {
                "title": study.title,
                "table": study.table,
                "position": list(study.entries).index(trial.entry),
                "networks": list(study.entries),
                "seeds": study.seeds.get(trial.entry, len(tested.get(trial.entry, ()))),
                "choice": study.choices.get(trial.entry),
            }
            kept.append(_keep(trial, folder, study.name, about))
    return kept


def _keep(trial: TrialRecord, folder: Path, study: str, about: dict[str, Any]) -> Path:
    seed = "" if trial.seed is None else f"-seed{trial.seed}"
    usual = folder / f"{study}-{folder_name(trial.entry)}{seed}"
    unlucky = folder / f"{study}-{folder_name(trial.entry)}-wd{trial.record.get('weight_decay')}{seed}-failed"
    target = usual if trial.images else unlucky  # apart: another weight decay may have been tested with the same seed
    if trial.images:
        shutil.rmtree(unlucky, ignore_errors=True)  # kept before it was tried again
    record = {key: value for key, value in trial.record.items() if key not in ("host", "pid", "manifest", "error")}
    if trial.record.get("error"):
        kind = re.match(r"\w*(?:Error|Exception)(?=: )", str(trial.record["error"]))
        record["error"] = kind.group() if kind else "InputError"  # one that begins with a file or an argument
    manifest = trial.record.get("manifest", {})
    name = manifest.get("name") or Path(str(manifest.get("path", ""))).name
    record["manifest"] = {"name": name, "file_sha256": manifest.get("file_sha256")}
    write_record(target, {**record, "kept": about})
    _write(target / "per_image.csv", [{**_named(row), **_rounded(row)} for row in trial.images])
    _write(target / "metrics.csv", [{key: f"{value:.6g}" for key, value in row.items()} for row in trial.log])
    return target


def _named(row: Any) -> dict[str, str]:
    return {key: str(row.get(key, "")) for key in COLUMNS}


def _rounded(row: Any) -> dict[str, str]:
    measures = {key: "" if math.isnan(row[key]) else f"{row[key]:.5f}" for key in MEASURES}
    return {**measures, **{key: str(row[key]) for key in (*FAILURES, *COUNTS) if key in row}}


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    if not rows:
        return
    longest = max(rows, key=len)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(longest), restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
