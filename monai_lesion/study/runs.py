"""Run a study from its file to its last test result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.study.checks import check_data, check_networks, check_overrides, check_resolution, claim_output
from monai_lesion.study.engines import Engine
from monai_lesion.study.jobs import EVALUATE, Job
from monai_lesion.study.plans import Plan, count_trainings
from monai_lesion.study.records import read_record
from monai_lesion.study.specifications import Study, check_own_keys, load_study
from monai_lesion.study.trials import Place


@dataclass(frozen=True)
class Outcome:
    """What a run of a study has done.

    Args:
        output: folder of the study.
        trained: number of networks trained, in this run and earlier ones.
        tested: number of networks scored on the test split.
        failures: the error of each failed job.
    """

    output: Path
    trained: int
    tested: int
    failures: Mapping[str, str]


def prepare(
    study: str | Path,
    output: str | Path,
    *,
    manifest: str | Path | None = None,
    dataset_dir: str | Path | None = None,
    bundle: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> tuple[Study, Place]:
    """Read a study and check all that can be checked before anything is trained.

    Args:
        study: the study file.
        output: folder for the study: new, empty, or of the same study.
        manifest: the manifest; None takes that of the study file, otherwise simulated cases.
        dataset_dir: folder that the paths in the manifest start from; None for its own folder.
        bundle: folder of the bundle; None for the package's own.
        settings: further overrides for every trial, such as ``{"max_epochs": 10}``.
        only: names of networks that are to run; None for all. The folder is the whole study's all the same.
        seeds: seeds of their final networks that are to run; None for all.
        progress: wraps the list of images to check, for a progress bar.

    Returns:
        What is to run, and where.

    Raises:
        InputError: names what is wrong.
    """
    bundle = bundle_folder() if bundle is None else Path(bundle)
    known = load_study(study)
    if settings:
        check_own_keys(settings, "--set")
        known = replace(known, overrides={**known.overrides, **settings})
    part = known.part(only, seeds)
    check_networks(known)
    check_overrides(known, bundle)
    check_resolution(known)
    if manifest is None and known.manifest is not None:
        manifest, dataset_dir = known.manifest, dataset_dir or known.dataset_dir
    if manifest is None:
        from monai_lesion.phantoms.files import default_phantoms

        manifest, dataset_dir = default_phantoms(), None
    elif not Path(manifest).is_file():
        raise InputError(manifest, "the manifest must exist", got="no file")
    place = Place(
        Path(output).absolute(),
        bundle.absolute(),
        Path(manifest).absolute(),
        None if dataset_dir is None else Path(dataset_dir).absolute(),
    )
    check_data(known, place, progress)
    claim_output(known, place)
    return part, place


def run_study(study: Study, place: Place, engine: Engine, *, say: Callable[[str], Any]) -> Outcome:
    """Run what is left of a study; a trial that fails is recorded and the others go on.

    Args:
        study: a study that :func:`prepare` has checked.
        place: where it runs.
        engine: runs the jobs; entered and left here.
        say: called with each line of progress.

    Raises:
        KeyboardInterrupt: after the running jobs were ended; the same command continues them.
    """
    failures: dict[str, str] = {}
    with engine:
        plan = Plan(study, place)
        clock = _Clock(plan, count_trainings(study.entries))
        if clock.done():
            say(f"{clock.done()} of {clock.total} networks are trained already")
        while True:
            for job in plan.ready()[: engine.capacity - len(plan.running)]:
                plan.begin(job)
                clock.begin(job)
                say(f"{clock.head()} start: {job.label}")
                engine.submit(job)
            if not plan.running:
                break
            job, error = engine.wait()
            plan.end(job, error)
            clock.end(job)
            if error:
                failures[job.label] = error
                say(f"{clock.head()} FAILED: {job.label}: {error}")
            else:
                say(f"{clock.head()} done: {job.label}: {_result(job)}; {clock.left(engine.capacity)}")
    states = plan.states.values()
    return Outcome(place.output, sum(s.trained for s in states), sum(s.tested for s in states), failures)


def _result(job: Job) -> str:
    record = read_record(job.trial.path)
    if job.kind == EVALUATE:
        import json

        summary = json.loads((job.trial.path / "evaluation" / "summary.json").read_text(encoding="utf-8"))
        return f"Dice {summary['dice']['mean']:.3f}, {summary['failures']} of {summary['n']} images failed"
    minutes = record["wall_seconds"] / 60
    return f"validation loss {record['best_val_loss']:.4f} after {record['epochs']} epochs, {minutes:.1f} min"


class _Clock:
    """How much is done, and how long the rest will take: from earlier trainings, of the same network where known."""

    def __init__(self, plan: Plan, total: int) -> None:
        self.plan = plan
        self.total = total
        self.started: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {}
        for entry in plan.study.entries:
            for decay in entry.weight_decays:
                for seed in entry.seeds:
                    trial = plan.place.trial(plan.study, entry, decay, seed)
                    if plan.states[trial.folder].trained:
                        seconds = read_record(trial.path).get("wall_seconds", 0.0)
                        self.seconds.setdefault(entry.name, []).append(seconds)

    def done(self) -> int:
        return self.total - sum(count for _, count in self.plan.remaining())

    def head(self) -> str:
        return f"[{min(self.done(), self.total)}/{self.total}]"

    def begin(self, job: Job) -> None:
        self.started[job.label] = time.monotonic()

    def end(self, job: Job) -> None:
        seconds = time.monotonic() - self.started.pop(job.label)
        if job.kind != EVALUATE:
            self.seconds.setdefault(job.trial.entry, []).append(seconds)

    def left(self, capacity: int) -> str:
        """The time left, as text."""
        remaining = [(entry.name, count) for entry, count in self.plan.remaining() if count]
        if not remaining:
            return "all networks trained"
        known = [value for values in self.seconds.values() for value in values]
        if not known:
            return "time left unknown"
        total = sum(count * fmean(self.seconds.get(name, known)) for name, count in remaining) / capacity
        hours, minutes = divmod(max(1, round(total / 60)), 60)
        return f"about {f'{hours} h ' if hours else ''}{minutes} min left"
