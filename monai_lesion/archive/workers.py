"""What does a part: one process, one network, one core. It may be killed at any moment, and the part begun again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_lesion.archive.jobs import Job
from monai_lesion.archive.listings import Item
from monai_lesion.archive.parts import part_file, read_part, write_part
from monai_lesion.archive.plans import read_plan
from monai_lesion.archive.rows import Row, RowMaker
from monai_lesion.errors import InputError
from monai_lesion.machine.loggers import no_less_than

MARKS = ".work"
DEATHS = 3  # of a worker at one item, until it is passed over
LINE = 64  # bytes of a mark, always the same, so that it is overwritten in place


class PartWorker:
    """Do parts, for Ray Data or in this process.

    Args:
        job: what to do.

    Raises:
        InputError: when the network cannot be opened, or is another than the run began with.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.output = job, Path(job.output)
        segmenter = job.network.open()
        if segmenter.algorithm.weights != job.weights_id:
            rule = "must hold the weights that the run began with"
            raise InputError(job.network.model, rule, got=segmenter.algorithm.weights[:12], fix="Put them back")
        plan = read_plan(self.output)
        if plan is None:
            raise InputError(self.output, "must hold the plan of the run", got="none", fix="Share it between machines")
        self.plan = plan
        self.rows = RowMaker(
            segmenter, stride=job.stride, identifiers=job.identifiers, archive=lru_cache(maxsize=8)(job.archive)
        )

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
        """Do the parts of a batch.

        Args:
            batch: the column ``part``.

        Returns:
            The columns ``part``, in JSON as :class:`monai_lesion.archive.parts.Part`, and ``stopped``: why the run
            cannot go on, or empty.
        """
        done: dict[str, list[str]] = {"part": [], "stopped": []}
        for number in batch["part"]:
            part, stopped = "", ""
            try:
                part = json.dumps(asdict(self.do(int(number))))
            except (InputError, OSError) as error:  # a full disk, an archive that closes: not the fault of a file
                stopped = str(error)
            done["part"].append(part)
            done["stopped"].append(stopped)
        return done

    def do(self, number: int) -> Any:
        """Do a part, unless it is there.

        Raises:
            InputError: when the run cannot go on.
            OSError: when nothing can be written.
        """
        if part_file(self.output, number).exists():
            return read_part(self.output, number, self.job.run)
        items = self.plan.part(number)
        # What a reader must know of a picture stands in its row, not in the log.
        mark = Mark(self.output / MARKS / f"{number:06d}", self.job.token)
        with no_less_than(logging.ERROR), mark:
            return write_part(self.output, number, self.job.run, self._rows(items, mark))

    def _rows(self, items: Sequence[Item], mark: Mark) -> Iterator[Row]:
        for place, item in enumerate(items):
            if mark.begin(place) >= DEATHS:
                got = f"{DEATHS} processes that died"
                yield self.rows.failure(item, "must not end the process that reads it", got)
            else:
                yield from self.rows(item)
        self.rows.open.close()


class Mark:
    """Which item of a part is under way, on the disk, and how often a process died of it.

    Args:
        path: the file; its folder is made when absent.
        token: of the start of the run. A death in another start may have been of the whole run, and does not count.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self._died = self._deaths = -1
        self._file = -1

    def __enter__(self) -> Mark:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            token, place, deaths = self.path.read_text(encoding="ascii").split()
            if token == self.token:
                self._died, self._deaths = int(place), int(deaths) + 1
        except (OSError, ValueError):  # none, or one that was cut off
            pass
        self._file = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o644)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self._file)
        self.path.unlink(missing_ok=True)

    def begin(self, place: int) -> int:
        """Note the item that is next; how often a process died of it."""
        deaths = self._deaths if place == self._died else 0
        if place == self._died or place > self._died:
            text = f"{self.token or '-'} {place} {deaths}".ljust(LINE)
            os.pwrite(self._file, text.encode("ascii"), 0)
        return deaths
