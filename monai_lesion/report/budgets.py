"""Describe in words the budget behind results: data, resolution, epochs, seeds, machine, precision and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.report.studies import StudyRecords, TrialRecord, unique


def budget(study: StudyRecords) -> list[str]:
    """Write the sentences that belong beside every table; they say so where a fact was not recorded.

    Args:
        study: with at least one tested network.
    """
    trials = [trial for tested in study.compared().values() for trial in tested]
    first = trials[0].record
    size = " x ".join(map(str, first.get("spatial_size") or ())) or "not recorded"
    told = [f"Data: {_data(trials[0])}.", f"Network input: {size} pixels.", f"Epochs: {_epochs(trials)}."]
    told += [f"{_seeds(study)}.", f"Machine: {_machines(trials)}.", f"Precision: {_precision(trials)}."]
    seconds = [trial.record["wall_seconds"] for trial in trials if trial.record.get("wall_seconds")]
    if seconds:
        minutes = [f"{value / 60:.{0 if value >= 600 else 1}f}" for value in (min(seconds), max(seconds))]
        told.append(f"A training took {' to '.join(unique(minutes))} minutes.")
    told.append(_beginning(trials))
    changes = {key: value for trial in trials for key, value in trial.record.get("overrides", {}).items()}
    if changes and study.table != "ladder":
        listed = ", ".join(f"{key} {value}" for key, value in changes.items())
        told.append(f"Changes to the paper's recipe: {listed}.")
    dropouts: dict[float, list[str]] = {}
    for trial in trials:
        value = trial.record.get("network_def", {}).get("dropout")
        if value is not None and trial.entry not in dropouts.setdefault(value, []):
            dropouts[value].append(trial.entry)
    told += [f"Dropout {value}: {'; '.join(entries)}." for value, entries in dropouts.items()]
    if any(trial.record.get("by_hand") for trial in trials):
        told.append("The facts of the training were noted by hand.")
    return told


def missing(study: StudyRecords) -> list[str]:
    """Say in sentences what of a study has not been tested yet."""
    networks = study.compared()
    absent = [entry for entry in study.entries if entry not in networks]
    short = [entry for entry, trials in networks.items() if len(trials) < study.seeds.get(entry, 0)]
    told = [f"Not tested yet: {', '.join(absent)}."] if absent else []
    return told + ([f"Fewer seeds than planned: {', '.join(short)}."] if short else [])


def _beginning(trials: Sequence[TrialRecord]) -> str:
    """Say whether networks started from random weights or from those of an earlier training."""
    records = [trial.record for trial in trials]
    further = [r["entry"] for r in records if r.get("pretrained") or r.get("overrides", {}).get("pretrained")]
    if not further:
        return "All networks are trained from scratch."
    return f"Trained further from the weights of an earlier training: {', '.join(unique(further))}."


def _data(trial: TrialRecord) -> str:
    data = trial.record.get("manifest", {})
    name = data.get("name") or Path(str(data.get("path", ""))).name or "not recorded"
    digest = str(data.get("file_sha256") or "")[:8]
    return f"{name}, manifest {digest}" if digest else name


def _epochs(trials: Iterable[TrialRecord]) -> str:
    done = sorted({int(trial.record["epochs"]) for trial in trials if trial.record.get("epochs")})
    limits = unique(str(trial.record["max_epochs"]) for trial in trials if trial.record.get("max_epochs"))
    span = "not recorded" if not done else str(done[0]) if len(done) == 1 else f"{done[0]} to {done[-1]}"
    return f"{span} of at most {' or '.join(limits)} (the paper: 50 to 200)" if limits else span


def _seeds(study: StudyRecords) -> str:
    counts = {entry: len(trials) for entry, trials in study.compared().items()}
    if len(set(counts.values())) == 1:
        count = next(iter(counts.values()))
        return "One seed" if count == 1 else f"{count} seeds each"
    usual = Counter(counts.values()).most_common(1)[0][0]
    others = [f"{count} of {entry}" for entry, count in counts.items() if count != usual]
    return f"Seeds: {', '.join(others)}, {usual} of each other"


def _machines(trials: Iterable[TrialRecord]) -> str:
    return " or ".join(unique(map(_machine, trials)))


def _machine(trial: TrialRecord) -> str:
    record = trial.record
    name, threads = record.get("device_name") or record.get("device") or "not recorded", record.get("threads")
    on_cpu = str(record.get("device", "")).startswith("cpu")
    return f"{name}, {threads} thread{'s' if threads != 1 else ''}" if threads and on_cpu else str(name)


def _precision(trials: Iterable[TrialRecord]) -> str:
    return " or ".join(unique(precision(trial.record) or "not recorded" for trial in trials))


def precision(record: Any) -> str:
    """Name the precision of a training; empty if it was not recorded.

    Example:
        >>> precision({"amp": True, "device": "cpu"})
        'bfloat16, channels-last'
    """
    amp = record.get("amp")
    if amp is None:
        return ""
    if not amp:
        return "float32"
    kind = "float16" if str(record.get("device", "")).startswith("cuda") else "bfloat16"
    return f"{kind}, channels-last"
