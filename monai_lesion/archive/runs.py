"""Segment an archive: plan, divide among workers, collect what they finish, and go on where an earlier run stopped.

::

    sources -- plan -- Ray Data --+-- worker -- part --+-- manifest -- progress
                                  +-- worker -- part --+
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from filelock import FileLock, Timeout

from monai_lesion.archive.jobs import Job, Network, begin, describe, read_record
from monai_lesion.archive.listings import is_url, list_items
from monai_lesion.archive.parts import Manifest, Part, check_parts
from monai_lesion.archive.plans import PART_FILES, Plan, extend_plan, read_plan, write_plan
from monai_lesion.archive.schemas import load_arrow
from monai_lesion.archive.workers import MARKS, PartWorker
from monai_lesion.errors import InputError
from monai_lesion.machine.clusters import check_address, start_ray
from monai_lesion.machine.progress_bars import bar
from monai_lesion.measures.judgements import DECISIONS

WINDOW = 2000  # parts that Ray Data is given at a time: its own books grow with them
STORE_BYTES = 200 * 2**20
LOCK = ".archive.lock"


@dataclass(frozen=True)
class Choices:
    """Which rows a run makes; a run that goes on must have the same.

    Args:
        sources: see :mod:`monai_lesion.archive.listings`.
        stride: takes every so many frames of a cine, from the first.
        limit: most items; None for all.
        sample: share of the items.
        exclude: patterns of files to leave out.
        identifiers: whether rows name patient, date and accession number.
        part_files: most files of a part.

    Raises:
        InputError: for a number out of range.
    """

    sources: tuple[str, ...]
    stride: int = 1
    limit: int | None = None
    sample: float = 1.0
    exclude: tuple[str, ...] = ()
    identifiers: bool = False
    part_files: int = PART_FILES

    def __post_init__(self) -> None:
        for name in ("stride", "limit", "part_files"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')}", "must be at least 1", got=value)
        if not 0 < self.sample <= 1:
            raise InputError("--sample", "must be a share above 0, at most 1", got=self.sample)

    def to_dict(self) -> dict[str, Any]:
        """For ``run.json``; sources as they are found from any folder."""
        places = [each if is_url(each) else os.path.abspath(each) for each in self.sources]
        return {**vars(self), "sources": places, "exclude": list(self.exclude)}


@dataclass(frozen=True)
class Outcome:
    """What a run has done, with all runs before it.

    Attributes:
        rows: rows in the table.
        errors: how many of them are errors.
        decisions: rows by decision; ``""`` for those without one.
        new: rows that this run added.
        seconds: how long this run took.
    """

    rows: int
    errors: int
    decisions: dict[str, int]
    new: int
    seconds: float

    def __str__(self) -> str:
        named = {**{name: name for name in DECISIONS}, "": "not judged"}
        counts = ", ".join(f"{self.decisions[key]} {name}" for key, name in named.items() if self.decisions.get(key))
        pace = f"; {self.new} now, {self.new / max(self.seconds, 1e-9):.1f} a second" if self.new else "; none was new"
        return f"{self.rows} rows, {self.errors} of them errors" + (f": {counts}" if counts else "") + pace


def run_archive(
    choices: Choices,
    output: str | Path,
    network: Network,
    *,
    workers: int | None = None,
    address: str | None = None,
    credentials: Path | None = None,
    progress: bool = True,
) -> Outcome:
    """Segment an archive into a table, or go on with one: what is missing, and what came to the sources since.

    Args:
        choices: which rows to make.
        output: folder of the results; on a cluster every machine sees it under this path.
        network: which network to use.
        workers: processes of one core each; 0 works in this process, without Ray. None takes one per core.
        address: a running Ray: ``host:port``, ``ray://host:port`` or ``auto``; None starts one here.
        credentials: file with the log-in of a DICOMweb archive.
        progress: whether to show a bar with the time left.

    Raises:
        InputError: when the folder is of another run, a finished part is damaged, a source cannot be listed, or the
            run cannot go on. Bad pictures are rows.
    """
    load_arrow()
    if address is not None:
        if workers == 0:
            raise InputError("--address", "needs workers", got="--workers 0")
        check_address(address)
    folder = Path(output).absolute()
    read_record(folder)  # refuses before anything is made
    segmenter = network.open()
    with _locked(folder):
        record = begin(folder, network, describe(segmenter), choices.to_dict())
        job = Job(
            output=str(folder),
            run=record.run,
            network=_absolute(network),
            stride=choices.stride,
            identifiers=choices.identifiers,
            credentials=None if credentials is None else str(credentials.absolute()),
            weights_id=segmenter.algorithm.weights,
            token=uuid.uuid4().hex[:16] if workers != 0 else "",
        )
        del segmenter
        plan = _planned(folder, choices, job, progress)
        with bar(title="checking", unit="part", delay=2.0, shown=progress) as shown:
            finished = check_parts(folder, job.run, plan.parts, shown)
        return _work(plan, job, finished, workers=workers, address=address, progress=progress)


def _absolute(network: Network) -> Network:
    path = Path(network.model)
    return replace(network, model=str(path.absolute())) if path.is_dir() else network


class _locked:  # noqa: N801
    """One run at a time in a folder, also after the last was killed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.lock = folder, FileLock(folder / LOCK, timeout=1)

    def __enter__(self) -> None:
        try:
            self.lock.acquire()
        except Timeout as error:
            fix = "Wait for it, or name another folder"
            raise InputError(self.folder, "must have one run at a time", got="a run under way", fix=fix) from error

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def _planned(folder: Path, choices: Choices, job: Job, progress: bool) -> Plan:
    """The plan of a folder, with what came to the sources since it was made."""
    plan = read_plan(folder)
    left = None if choices.limit is None or plan is None else choices.limit - plan.items
    if plan is not None and left == 0:
        return plan
    items = list_items(
        choices.sources,
        leave_out=folder,
        exclude=choices.exclude,
        limit=choices.limit if plan is None else None,
        sample=choices.sample,
        studies=lambda source: _studies(source, job),
    )
    with bar(title="listing", unit="file", delay=1.0, shown=progress) as shown:
        if plan is None:
            return write_plan(folder, items, part_files=choices.part_files, shown=shown)
        return extend_plan(plan, islice(plan.unseen(items), left), part_files=choices.part_files, shown=shown)


def _studies(source: str, job: Job) -> Iterable[str]:
    """The studies that a URL with a query names."""
    filters: dict[str, Any] = dict(parse_qsl(urlsplit(source).query))
    return job.archive(source.split("?")[0]).studies(**filters)


def _work(
    plan: Plan, job: Job, finished: dict[int, Part], *, workers: int | None, address: str | None, progress: bool
) -> Outcome:
    start, manifest = time.monotonic(), Manifest(plan.folder.parent)
    missing = [number for number in range(plan.parts) if number not in finished]
    earlier = sum(each.rows for each in finished.values())
    if missing:
        results = _here(job, missing) if workers == 0 else _on_ray(job, missing, workers, address)
        share = plan.items / plan.parts
        done = round(share * len(finished))
        with bar(title="segmenting", unit="file", total=plan.items, initial=done, shown=progress) as shown:
            for part, stopped in results:
                if stopped:
                    fix = f"What is finished stays ({len(finished)} of {plan.parts} parts); the same command goes on"
                    raise InputError(f"{stopped}\n{fix}")
                found = Part(**json.loads(part))
                manifest.append(found)
                finished[found.part] = found
                shown.update(min(round(share * len(finished)), plan.items) - shown.n)
        shutil.rmtree(plan.folder.parent / MARKS, ignore_errors=True)
    rows = sum(each.rows for each in finished.values())
    decisions: Counter[str] = Counter()
    for each in finished.values():
        decisions.update(each.decisions)
    errors = sum(each.errors for each in finished.values())
    return Outcome(rows, errors, dict(decisions), rows - earlier, time.monotonic() - start)


def _here(job: Job, parts: Sequence[int]) -> Iterator[tuple[str, str]]:
    worker = PartWorker(job)
    for number in parts:
        done = worker({"part": [number]})
        yield done["part"][0], done["stopped"][0]


def _on_ray(job: Job, parts: Sequence[int], workers: int | None, address: str | None) -> Iterator[tuple[str, str]]:
    """Let Ray Data stream the numbers of parts through workers that keep their network.

    It sends a worker no more than it can take, begins a dead one again, and repeats what that one had under way.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ray = start_ray("--workers", "archive", address, cpus=workers or cores, store_bytes=STORE_BYTES)
    try:
        from ray.data import ActorPoolStrategy, DataContext, from_items

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        for first in range(0, len(parts), WINDOW):
            window = [{"part": number} for number in parts[first : first + WINDOW]]
            size = min(count, len(window))
            dataset = from_items(window, override_num_blocks=len(window)).map_batches(
                PartWorker,
                fn_constructor_args=(job,),
                batch_size=None,
                compute=ActorPoolStrategy(size=size),
                num_cpus=1,
            )
            for row in dataset.iter_rows():
                yield str(row["part"]), str(row["stopped"])
    except ray.exceptions.RayError as error:
        raise InputError("--workers", "the workers must run", got=_cause(error)) from error
    finally:
        ray.shutdown()


def _cause(error: BaseException) -> str:
    """What went wrong in a worker, out of what Ray makes of it."""
    text = str(getattr(error, "cause", None) or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "InputError: " in line]
    return told[-1].split("InputError: ", 1)[1] if told else lines[-1] if lines else type(error).__name__
