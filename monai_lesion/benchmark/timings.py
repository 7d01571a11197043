"""A benchmark: every row a process of its own, all of a network asked in turns, the plain way among them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.benchmark.entries import Entry, costs_of
from monai_lesion.benchmark.pictures import Pictures
from monai_lesion.benchmark.rows import Ceiling, Outcome, Row, ratio_of
from monai_lesion.benchmark.settings import PLAIN, Way
from monai_lesion.benchmark.workers import Worker
from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import dice

BURST = 3  # timed images in a turn, right after one that is not counted
Say = Callable[[str], None]


def measure(
    entries: Sequence[Entry],
    ways: Sequence[Way],
    pictures: Pictures,
    *,
    folder: Path,
    repeats: int,
    threads: int,
    say: Say = lambda _: None,
) -> Outcome:
    """Measure networks x ways. A row that fails says why, and the others go on.

    Args:
        entries: the networks; the rows of one are measured together, then the next.
        ways: the plain way comes before them in any case.
        pictures: what is segmented.
        folder: for what the processes need; nobody else's.
        repeats: turns, in each of which all rows of a network are asked, after one turn that warms up.
        threads: of each process; the others are idle meanwhile.
        say: told of progress.
    """
    outcome = Outcome(load=[round(_load(), 2)])
    arrays = pictures.write(folder)
    limits = dict.fromkeys((way.precision, way.avx2) for way in (PLAIN, *ways))
    _raise_ceilings(outcome, list(limits), threads, say)
    progress = _Progress(len(entries) * (len({PLAIN, *ways}) + repeats + 1), say)
    for number, entry in enumerate(entries):
        place = folder / str(number)
        place.mkdir()
        run = _EntryRun(entry, ways, pictures, arrays=arrays, folder=place, threads=threads, progress=progress)
        outcome.rows += run.measure(repeats)
        outcome.load.append(round(_load(), 2))
    _raise_ceilings(outcome, list(limits), threads, say)  # once more: the best of both counts
    outcome.rows = [_with_share(row, outcome.ceilings) for row in outcome.rows]
    return outcome


class _Progress:
    """Says what is done next, and how long the rest may take."""

    def __init__(self, steps: int, say: Say) -> None:
        self.steps, self.say, self.done, self.started = steps, say, 0, time.monotonic()

    def __call__(self, what: str) -> None:
        spent = time.monotonic() - self.started
        left = f", about {spent / self.done * (self.steps - self.done) / 60:.1f} min left" if self.done else ""
        self.done += 1
        self.say(f"[{self.done}/{self.steps}] {what}{left}")


class _EntryRun:
    """The rows of one network, each with its process; all processes are gone when it ends, however it ends."""

    def __init__(
        self,
        entry: Entry,
        ways: Sequence[Way],
        pictures: Pictures,
        *,
        arrays: Path,
        folder: Path,
        threads: int,
        progress: _Progress,
    ) -> None:
        self.entry, self.pictures, self.arrays, self.folder = entry, pictures, arrays, folder
        self.threads, self.progress = threads, progress
        costs = costs_of(entry, pictures.size)
        self.rows = {way: Row(entry, way, costs) for way in dict.fromkeys((PLAIN, *ways))}
        self.workers: dict[Way, Worker] = {}

    def measure(self, repeats: int) -> list[Row]:
        with ExitStack() as stack:
            preparing = _Preparing(stack)
            for way in self.rows:
                self.progress(f"{self.entry.name}: open {way.name}")
                if way != PLAIN and self.rows[PLAIN].error:
                    self.rows[way] = replace(self.rows[way], error="the plain way failed")
                    continue
                self._attempt(way, lambda way=way: self._started(way, preparing, stack))  # type: ignore[misc]
            preparing.close()
            for turn in range(repeats + 1):
                self.progress(f"{self.entry.name}: " + (f"turn {turn} of {repeats}" if turn else "warm-up"))
                for way in list(self.workers):
                    self._attempt(way, lambda way=way, turn=turn: self._timed(way, counted=turn > 0))  # type: ignore[misc]
            for way in list(self.workers):
                self._attempt(way, lambda way=way: self._judged(way))  # type: ignore[misc]
        plain = self.rows[PLAIN]
        return [_compared(row, plain) for row in self.rows.values()]

    def _attempt(self, way: Way, work: Callable[[], Row]) -> None:
        try:
            self.rows[way] = work()
        except InputError as error:
            self.rows[way] = replace(self.rows[way], error=str(error))
            self.progress.say(f"  {way.name} failed: {error}")
            if way in self.workers:
                self.workers.pop(way).close()

    def _started(self, way: Way, preparing: _Preparing, stack: ExitStack) -> Row:
        where = f"{self.entry.name}, {way.name}"
        named = {"runtime": way.runtime, "precision": way.precision, "threads": self.threads}
        made = preparing.ask(where, {**self._about(), **named})
        files = {"model": made["file"], "network": str(self.folder / "network.pt"), "pictures": str(self.arrays)}
        worker = stack.enter_context(Worker(where, {"job": "row", **files, **named}, way.environment(self.threads)))
        self.workers[way] = worker
        told = worker.receive()
        return replace(self.rows[way], file_megabytes=made["bytes"] / 1e6, instructions=told["instructions"])

    def _about(self) -> dict[str, Any]:
        texts = {"weights": self.entry.weights, "manifest": self.pictures.manifest}
        texts |= {"dataset_dir": self.pictures.dataset_dir, "folder": self.folder, "pictures": self.arrays}
        paths = {name: None if path is None else str(path.absolute()) for name, path in texts.items()}
        calibration = self.pictures.calibration
        return {"network": self.entry.network, "width": self.entry.width, "calibration": calibration, **paths}

    def _timed(self, way: Way, *, counted: bool) -> Row:
        row, times = self.rows[way], self.workers[way].ask(do="time", count=BURST)["ms"]
        return replace(row, times=(*row.times, tuple(times))) if counted else row

    def _judged(self, way: Way) -> Row:
        worker = self.workers[way]
        row = replace(self.rows[way], megabytes=worker.ask(do="memory")["mb"])  # before all pictures are mapped
        worker.ask(do="masks", file=str(self.folder / f"{way.name}.npy"))
        masks, plain = (np.load(self.folder / f"{each.name}.npy", mmap_mode="r") for each in (way, PLAIN))
        row = replace(row, agreement=_mean_dice(masks, plain))
        return row if self.entry.weights is None else replace(row, dice=_mean_dice(masks, self.pictures.labels))


class _Preparing:
    """One process that makes the files of all rows, and another where that one failed."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.worker: Worker | None = None

    def ask(self, where: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.worker is None:
            self.worker = self.stack.enter_context(Worker(where, {"job": "prepare"}, {}))
            self.worker.receive()
        self.worker.name = where
        try:
            return self.worker.ask(**request)
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker = None


def _mean_dice(masks: Any, others: Any) -> float:
    return float(np.mean([dice(a, b) for a, b in zip(masks, others, strict=True)]))


def _compared(row: Row, plain: Row) -> Row:
    if row.error or not row.times or plain.error:
        return row
    change = None if row.dice is None or plain.dice is None else row.dice - plain.dice
    return replace(row, ratio=ratio_of(plain.times, row.times), dice_change=change)


def _with_share(row: Row, ceilings: Mapping[str, Ceiling]) -> Row:
    known = ceilings.get(_kind(row.way.precision, row.way.avx2))
    return replace(row, share=row.gflops / max(known.values())) if known and row.times and not row.error else row


def _kind(precision: str, avx2: bool) -> str:
    return f"{precision}-avx2" if avx2 else precision


def _raise_ceilings(outcome: Outcome, limits: Sequence[tuple[str, bool]], threads: int, say: Say) -> None:
    for precision, avx2 in limits:
        kind = _kind(precision, avx2)
        say(f"the machine's ceiling, {kind}")
        start = {"job": "ceiling", "precision": precision, "threads": threads, "avx2": avx2}
        try:
            with Worker(f"ceiling, {kind}", start, Way("", precision, avx2).environment(threads)) as worker:
                worker.receive()
                found: Ceiling = worker.ask()["gflops"]
        except InputError as error:
            outcome.errors[f"ceiling {kind}"] = str(error)
            continue
        best = outcome.ceilings.setdefault(kind, {})
        best.update({name: round(max(value, best.get(name, 0.0)), 1) for name, value in found.items()})


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
