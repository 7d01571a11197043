"""Time networks in turns: each row has its own process, and each turn asks all rows of a network, plain PyTorch too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.benchmark.candidates import Candidate, costs_of
from monai_lesion.benchmark.model_files import write_model
from monai_lesion.benchmark.pictures import Pictures
from monai_lesion.benchmark.row_jobs import open_row, peak_megabytes, time_row, write_masks
from monai_lesion.benchmark.rows import Row, ratio_of
from monai_lesion.benchmark.settings import PLAIN, Setting
from monai_lesion.benchmark.workers import Worker
from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import dice

BURST = 3  # timed images in a turn, right after one that is not counted
Say = Callable[[str], None]


def measure(
    candidates: Sequence[Candidate],
    settings: Sequence[Setting],
    pictures: Pictures,
    *,
    folder: Path,
    repeats: int,
    threads: int,
    say: Say = lambda _: None,
) -> tuple[list[Row], list[float]]:
    """Measure every network in every setting; a row that fails says why, and the others continue.

    Args:
        candidates: networks, measured one after another.
        settings: how to run them; plain PyTorch always comes first.
        pictures: pictures to segment.
        folder: empty folder for the files that the processes need.
        repeats: number of turns after a first one that warms up.
        threads: threads of each process; only one process works at a time.
        say: called with each line of progress.

    Returns:
        The rows, and the load of the machine before each network and after the last.
    """
    known = list(dict.fromkeys((PLAIN, *settings)))
    rows, load = [], [_load()]
    arrays = pictures.write(folder)
    progress = _Progress(len(candidates) * (len(known) + repeats + 1), say)
    for number, candidate in enumerate(candidates):
        place = folder / str(number)
        place.mkdir()
        with ExitStack() as stack:
            run = _Run(candidate, known, pictures, arrays, place, threads, progress, stack)
            rows += run.measure(repeats)
        load.append(_load())
    return rows, load


class _Progress:
    """Says what comes next and how long the rest may take."""

    def __init__(self, steps: int, say: Say) -> None:
        self.steps, self.say, self.done, self.started = steps, say, 0, time.monotonic()

    def __call__(self, what: str) -> None:
        spent = time.monotonic() - self.started
        left = f", about {spent / self.done * (self.steps - self.done) / 60:.1f} min left" if self.done else ""
        self.done += 1
        self.say(f"[{self.done}/{self.steps}] {what}{left}")


class _Run:
    """The rows of one network, each with its process; all processes end when the stack is left, for whatever reason."""

    def __init__(
        self,
        candidate: Candidate,
        settings: Sequence[Setting],
        pictures: Pictures,
        arrays: Path,
        folder: Path,
        threads: int,
        progress: _Progress,
        stack: ExitStack,
    ) -> None:
        self.candidate, self.pictures, self.arrays, self.folder = candidate, pictures, arrays, folder
        self.threads, self.progress = threads, progress
        costs = costs_of(candidate, pictures.size)
        self.rows = {setting: Row(candidate, setting, costs) for setting in settings}
        self.workers = {
            setting: stack.enter_context(Worker(f"{candidate.name}, {setting.name}")) for setting in settings
        }
        self.writer = stack.enter_context(Worker(candidate.name))  # of models, which takes memory that is no row's

    def measure(self, repeats: int) -> list[Row]:
        for setting in list(self.workers):
            self.progress(f"{self.candidate.name}: open {setting.name}")
            self._attempt(setting, self._opened)
        self.writer.close()
        for turn in range(repeats + 1):
            self.progress(f"{self.candidate.name}: " + (f"turn {turn} of {repeats}" if turn else "warm-up"))
            for setting in list(self.workers):
                self._attempt(setting, self._timed if turn else self._warmed)
        for setting in list(self.workers):
            self._attempt(setting, self._judged)
        plain = self.rows[PLAIN]
        return [_compared(row, plain) for row in self.rows.values()]

    def _attempt(self, setting: Setting, work: Callable[[Setting, Worker], dict[str, Any]]) -> None:
        """Do something with a row and keep the result; a row that fails is not asked again."""
        try:
            found = work(setting, self.workers[setting])
        except InputError as error:
            found = {"error": str(error)}
            self.progress.say(f"  {setting.name} failed: {error}")
            self.workers.pop(setting).close()
        self.rows[setting] = replace(self.rows[setting], **found)

    def _opened(self, setting: Setting, worker: Worker) -> dict[str, Any]:
        if self.rows[PLAIN].error:
            raise InputError("plain PyTorch failed")
        self.writer.name = worker.name
        calibration = self.pictures.calibration
        file, size = self.writer.ask(write_model, self.candidate, setting, self.folder, self.arrays, calibration)
        network = self.folder / "network.pt"
        instructions = worker.ask(open_row, setting, file, network, self.arrays, self.threads)
        return {"file_megabytes": size / 1e6, "instructions": instructions}

    def _warmed(self, setting: Setting, worker: Worker) -> dict[str, Any]:
        worker.ask(time_row, BURST)
        return {}

    def _timed(self, setting: Setting, worker: Worker) -> dict[str, Any]:
        return {"times": (*self.rows[setting].times, tuple(worker.ask(time_row, BURST)))}

    def _judged(self, setting: Setting, worker: Worker) -> dict[str, Any]:
        megabytes = worker.ask(peak_megabytes)  # before all pictures are mapped
        worker.ask(write_masks, self.folder / f"{setting.name}.npy")
        masks, plain = (np.load(self.folder / f"{each.name}.npy", mmap_mode="r") for each in (setting, PLAIN))
        dice = None if self.candidate.weights is None else _mean_dice(masks, self.pictures.labels)
        return {"megabytes": megabytes, "agreement": _mean_dice(masks, plain), "dice": dice}


def _mean_dice(masks: Any, others: Any) -> float:
    return float(np.mean([dice(a, b) for a, b in zip(masks, others, strict=True)]))


def _compared(row: Row, plain: Row) -> Row:
    if row.error or not row.times or plain.error:
        return row
    change = None if row.dice is None or plain.dice is None else row.dice - plain.dice
    return replace(row, ratio=ratio_of(plain.times, row.times), dice_change=change)


def _load() -> float:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else float("nan")
