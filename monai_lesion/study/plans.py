"""Decide what to run next: weight decays first, then the other seeds of the best, then the test split, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from monai_lesion.files import read_object
from monai_lesion.study.jobs import EVALUATE, TRAIN, Job
from monai_lesion.study.records import read_record, write_json
from monai_lesion.study.specifications import Entry, Study
from monai_lesion.study.trials import Place, Trial

CHOICES = "choices.json"


@dataclass
class Progress:
    """State of a trial; ``failed`` holds for this run, the next one tries again."""

    trained: bool = False
    tested: bool = False
    failed: bool = False


class Plan:
    """The trials of a study in order, with the state of each.

    The first seed of every network comes before the second of any, so that a study cut short compares all networks.
    With several weight decays, those are compared on the tuning seeds by their lowest validation loss; the choice is
    kept in ``choices.json`` and never made again, because the test split is used for what was chosen.

    Args:
        study: the study.
        place: where it runs.
    """

    def __init__(self, study: Study, place: Place) -> None:
        self.study = study
        self.place = place
        self.choices = read_choices(place.output)
        self.states: dict[str, Progress] = {}
        self.running: set[tuple[str, str]] = set()
        for entry in study.entries:
            for decay in entry.weight_decays:
                for seed in {*entry.tuning_seeds, *entry.seeds}:
                    trial = place.trial(study, entry, decay, seed)
                    record = read_record(trial.path)
                    trained = record.get("state") == "finished" and (trial.path / "models" / "model.pt").is_file()
                    self.states[trial.folder] = Progress(trained, (trial.path / "evaluation").is_dir())

    def ready(self) -> list[Job]:
        """List the jobs that can start now, most urgent first."""
        jobs: list[tuple[int, Job]] = []
        for entry in self.study.entries:
            jobs += self._of(entry)
        jobs.sort(key=lambda item: item[0])  # stable: the order of the entries stays
        return [job for _, job in jobs if (job.kind, job.trial.folder) not in self.running]

    def _of(self, entry: Entry) -> Iterator[tuple[int, Job]]:
        decay = self.choice(entry)
        if decay is None:
            for rank, trial in enumerate(self._candidates(entry)):
                state = self.states[trial.folder]
                if not (state.trained or state.failed):
                    yield rank // len(entry.weight_decays), Job(TRAIN, trial)
            return
        for rank, seed in enumerate(entry.seeds):
            trial = self.place.trial(self.study, entry, decay, seed)
            state = self.states[trial.folder]
            if state.failed or state.tested:
                continue
            yield (-1, Job(EVALUATE, trial)) if state.trained else (rank, Job(TRAIN, trial))

    def _candidates(self, entry: Entry) -> list[Trial]:
        return [
            self.place.trial(self.study, entry, decay, seed)
            for seed in entry.tuning_seeds
            for decay in entry.weight_decays
        ]

    def choice(self, entry: Entry) -> float | None:
        """The weight decay of the final networks; None until all candidates are through, or when all have failed."""
        if len(entry.weight_decays) == 1:
            return entry.weight_decays[0]
        if entry.name in self.choices:
            return float(self.choices[entry.name]["weight_decay"])
        losses: dict[float, list[float]] = {decay: [] for decay in entry.weight_decays}
        failed = []
        for trial in self._candidates(entry):
            state = self.states[trial.folder]
            if not (state.trained or state.failed):
                return None
            if state.failed:
                failed.append(trial.label)
            else:
                losses[trial.weight_decay].append(float(read_record(trial.path)["best_val_loss"]))
        means = {d: fmean(values) for d, values in losses.items() if len(values) == len(entry.tuning_seeds)}
        if not means:
            return None
        best = min(means, key=means.__getitem__)
        self.choices[entry.name] = {
            "weight_decay": best,
            "val_loss": {f"{decay:g}": loss for decay, loss in means.items()},
            "tuning_seeds": list(entry.tuning_seeds),
            "failed": failed,
        }
        write_json(self.place.output / CHOICES, self.choices)
        return best

    def begin(self, job: Job) -> None:
        """Note that a job was given to an engine."""
        self.running.add((job.kind, job.trial.folder))

    def end(self, job: Job, error: str) -> None:
        """Note that a job has ended."""
        self.running.discard((job.kind, job.trial.folder))
        state = self.states[job.trial.folder]
        if error:
            state.failed = True
        elif job.kind == TRAIN:
            state.trained = True
        else:
            state.tested = True

    def remaining(self) -> list[tuple[Entry, int]]:
        """How many trainings each entry still needs, with the choices not yet made counted."""
        left = []
        for entry in self.study.entries:
            decay = self.choice(entry)
            if decay is None:
                open_trials = [t for t in self._candidates(entry) if not self._through(t)]
                later = len(set(entry.seeds) - set(entry.tuning_seeds))
                left.append((entry, len(open_trials) + (later if open_trials else 0)))
            else:
                trials = [self.place.trial(self.study, entry, decay, seed) for seed in entry.seeds]
                left.append((entry, sum(not self._through(trial) for trial in trials)))
        return left

    def _through(self, trial: Trial) -> bool:
        state = self.states[trial.folder]
        return state.trained or state.failed


def read_choices(output: Path) -> dict[str, Any]:
    """Read the weight decays that a study has chosen, with the losses they were chosen by.

    Raises:
        InputError: when the file cannot be read.
    """
    file = output / CHOICES
    if not file.is_file():
        return {}
    return read_object(file, "must be the choices of a study")


def count_trainings(entries: Sequence[Entry]) -> int:
    """Count the trainings that a study needs, whichever weight decay is chosen.

    Example:
        >>> count_trainings([Entry("a", {}, (1e-4, 0.0), (0, 1, 2), (0,))])
        4
    """
    total = 0
    for entry in entries:
        if len(entry.weight_decays) == 1:
            total += len(entry.seeds)
        else:
            tuning = set(entry.tuning_seeds)
            total += len(entry.weight_decays) * len(tuning) + len(set(entry.seeds) - tuning)
    return total
