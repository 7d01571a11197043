"""Segment many files into files; one bad image does not stop the rest.

::

    reader thread      read 3   read 4   read 5
    this thread        find 2   find 3   find 4
    writer thread      save 1   save 2   save 3

Decoding and writing run beside the network. Only the few pictures under way are in memory.
"""

from __future__ import annotations

import csv
import errno
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from monai_lesion.datasets.image_lists import cine_name, find_images, frame_name, output_names, raise_failures
from monai_lesion.errors import InputError
from monai_lesion.files import true_place
from monai_lesion.images.reading import ImageFile, UltrasoundImage, read_image
from monai_lesion.machine.progress_bars import bar
from monai_lesion.segmentation.formats import DICOM_ENDINGS, RESULT_ENDINGS, check_folder, check_free
from monai_lesion.segmentation.segmenters import no_memory, out_of_memory
from monai_lesion.segmentation.tables import COLUMNS, row_of, write_rows
from monai_lesion.segmentation.trust import Verdict, count_decisions

if TYPE_CHECKING:
    from monai_lesion.segmentation.results import Segmentation
    from monai_lesion.segmentation.segmenters import Segmenter

logger = logging.getLogger(__name__)

# pydicom's settings and Python's warning filters belong to the whole process. DICOM files are therefore read and
# written in turn: otherwise a warning that quotes a patient's name could slip through.
_DICOM = Lock()
TABLE = "results.csv"
AHEAD = 2  # pictures read ahead, and results that wait to be written


@dataclass(frozen=True)
class Pace:
    """How many pictures a batch segmented, and how fast.

    Attributes:
        segmented: number of pictures.
        frames: whether any of them was a frame of a cine.
        seconds: time from opening the first file to writing the last.
        decisions: how many of each decision, in words; empty without a calibration.
        withheld: results that were not written, for their decision was not accepted.
    """

    segmented: int
    frames: bool
    seconds: float
    decisions: str = ""
    withheld: int = 0

    def __str__(self) -> str:
        """For example ``12 images in 3.0 s, 4.0 images per second: 11 lesion, 1 doubtful``."""
        units, count = "frames" if self.frames else "images", self.segmented + self.withheld
        if count == 0:
            return "nothing left to segment: every image has its results"
        counted = units if count > 1 else units[:-1]
        text = f"{count} {counted} in {self.seconds:.1f} s, {count / self.seconds:.1f} {units} per second"
        text += f": {self.decisions}" if self.decisions else ""
        return f"{text}; {self.withheld} not accepted and not written" if self.withheld else text


@dataclass(frozen=True)
class _Task:
    """One picture or frame, read or not."""

    name: str
    source: Path
    image: UltrasoundImage | None = None  # None when its results exist, or it could not be read
    failure: str = ""
    frame: bool = False
    more: int = 0  # frames of its file besides the one that was counted


def segment_files(
    segmenter: Segmenter,
    sources: str | Path | Iterable[str | Path],
    output_dir: str | Path,
    *,
    formats: Sequence[str] = ("png",),
    seg_type: str = "binary",
    seg_geometry: str = "none",
    frame: int | None = None,
    skip_existing: bool = False,
    accept: Sequence[str] | None = None,
    overwrite: bool = False,
    exclude: Sequence[str] = (),
    table: bool = False,
    progress: bool = True,
    report: Callable[[Pace], object] | None = None,
) -> int:
    """Segment files and folders and save each result; whatever happens to one file or frame, the rest is done.

    Args:
        segmenter: segments each picture.
        sources: files and folders.
        output_dir: folder for the results, which are named after the images; the frames of a cine end in ``_f0000`` and
            so on. Earlier results in it are not taken for images when it lies in a folder of ``sources``.
        formats: see :meth:`Segmentation.save`.
        seg_type: see :meth:`Segmentation.save`.
        seg_geometry: see :meth:`Segmentation.save`.
        frame: frame of a cine to segment, counted from 0; None for all.
        skip_existing: skip images that already have all their results; those that have some of them are done again.
        overwrite: replace earlier results. No image of the batch is ever replaced.
        accept: decisions whose results are written; the others are counted. None writes all.
        exclude: patterns of files to leave out, see :func:`monai_lesion.datasets.image_lists.find_images`, which also
            leaves out masks that have their picture in the same folder.
        table: write ``results.csv`` beside the results, a line each, also for files that failed. Lines of an earlier
            table whose pictures are not done again stay.
        progress: whether to show a bar with the time left.
        report: called at the end with the speed of the batch, even when some images failed; not when all did.

    Returns:
        The number of pictures segmented and written.

    Raises:
        InputError: at once, when ``output_dir`` is named like a result; at the end, naming each file or frame that
            could not be segmented, in the order of the files, or whose results exist.
        OSError: at once, when no result can be written: a full disk, a folder that is not yours.
    """
    check_folder(output_dir, "The results are named after their pictures")
    files = find_images(sources, leave_out=output_dir, exclude=exclude)
    tasks = _read(files, Path(output_dir), formats, frame, skip_existing, overwrite)
    dicom = any(kind in DICOM_ENDINGS for kind in formats)
    failures: dict[int, str] = {}
    rows: dict[int, dict[str, Any]] = {}
    named: dict[int, dict[str, Any]] = {}
    saved: deque[tuple[int, _Task, Future[dict[str, Any]]]] = deque()
    done, frames, start = 0, False, time.perf_counter()
    verdicts: list[Verdict | None] = []
    withheld = 0

    def save(result: Segmentation, name: str) -> dict[str, Any]:
        try:
            with _DICOM if dicom else nullcontext():
                chosen = {"seg_type": seg_type, "seg_geometry": seg_geometry}
                result.save(output_dir, formats, name=name, overwrite=True, **chosen)  # see _read
            return {**row_of(result), "name": name} if table else {}  # sizes take imports of their own
        except MemoryError as error:
            raise no_memory(result.image) from error

    def settle() -> None:
        nonlocal done, frames
        number, task, future = saved.popleft()
        try:
            rows[number] = future.result()
            done, frames = done + 1, frames or task.frame
        except Exception as error:
            failures[number] = told(error, task.source, output_dir)
        shown.update()

    with (
        bar(title="segmenting", total=len(files), shown=progress) as shown,
        _thread("writer") as writer,
        _thread("reader") as reader,
    ):
        for number, task in enumerate(_ahead(tasks, reader)):
            named[number] = {"name": task.name, "image": task.source.name}
            if task.more:
                shown.total += task.more
                shown.refresh()
            if task.image is None:
                if task.failure:
                    failures[number] = task.failure
                shown.update()
                continue
            while len(saved) >= AHEAD or (saved and saved[0][2].done()):
                settle()
            try:
                result = segmenter.segment(task.image)
            except Exception as error:
                failures[number] = told(error, task.source)
                shown.update()
                continue
            verdicts.append(result.verdict)
            if result.verdict is not None:
                logger.info("%s: %s", task.name, result.verdict.words())
            if accept is not None and result.decision not in accept:
                withheld, frames = withheld + 1, frames or task.frame
                shown.update()
                continue
            # The task that waits must not hold the picture once it is written.
            saved.append((number, replace(task, image=None), writer.submit(save, result, task.name)))
            del result, task
        while saved:
            settle()
        total = shown.total
    if table:
        failed = {number: {**dict.fromkeys(COLUMNS), **named[number], "error": failures[number]} for number in failures}
        _write_table(Path(output_dir) / TABLE, [each for _, each in sorted({**rows, **failed}.items())])
    if report is not None and (done or withheld or not failures):
        seconds = max(time.perf_counter() - start, 1e-9)
        report(Pace(done, frames, seconds, count_decisions(verdicts), withheld))
    raise_failures({str(number): failures[number] for number in sorted(failures)}, total)
    return done


def _write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table, and keep the lines of an earlier one for pictures that are not in it."""
    kept: list[Mapping[str, Any]] = []
    if file.is_file():
        new = {row["name"] for row in rows}
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if list(reader.fieldnames or ()) == list(COLUMNS):
                kept = [row for row in reader if row["name"] not in new]
    if rows or kept:
        write_rows([*kept, *rows], file)


@contextmanager
def _thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """Run one thread; on an error or Ctrl-C, cancel what it has not begun and wait for what it has."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _ahead(tasks: Iterator[_Task], reader: ThreadPoolExecutor) -> Iterator[_Task]:
    """Give the tasks in order; the reader prepares up to ``AHEAD`` of them in advance."""
    waiting = deque(reader.submit(next, tasks, None) for _ in range(AHEAD))
    while (task := waiting.popleft().result()) is not None:
        waiting.append(reader.submit(next, tasks, None))
        yield task
        del task


def _read(
    files: Sequence[Path],
    output_dir: Path,
    formats: Sequence[str],
    frame: int | None,
    skip_existing: bool,
    overwrite: bool,
) -> Iterator[_Task]:
    """Read each picture or frame whose results are wanted and may be written."""
    fix = "Add --overwrite or --skip-existing, or write to another folder"
    inputs = {true_place(file) for file in files}
    names = output_names(files)
    taken = {name.casefold() for name in names}
    for file, name in zip(files, names, strict=True):
        try:
            with ImageFile(file) as source:
                with _DICOM:
                    count = source.frames
                name = cine_name(name, count, taken)
                chosen: Sequence[int | None] = range(count) if count > 1 and frame is None else [frame]
                for place, number in enumerate(chosen):
                    stem = name if count == 1 else frame_name(name, number)
                    results = [output_dir / f"{stem}{RESULT_ENDINGS[kind]}" for kind in formats]
                    facts: dict[str, Any] = {"frame": count > 1, "more": len(chosen) - 1 if place == 0 else 0}
                    if skip_existing and all(result.exists() for result in results):
                        yield _Task(stem, file, **facts)
                        continue
                    try:
                        check_free(results, inputs, overwrite=overwrite or skip_existing, fix=fix)
                        task = _Task(stem, file, _read_one(source, number), **facts)
                    except Exception as error:
                        task = _Task(stem, file, failure=told(error, file), **facts)
                    yield task
                    del task
        except Exception as error:
            yield _Task(name, file, failure=told(error, file))


def told(error: Exception, file: Path, output_dir: str | Path | None = None) -> str:
    """The line of the list of failures for an error of one file.

    Args:
        error: what happened.
        file: the picture.
        output_dir: the folder of the results, for an error in writing.

    Raises:
        OSError: the error itself, when writing would fail for every other file too.
    """
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        whole = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        if output_dir is not None and (whole or not Path(output_dir).is_dir() or not os.access(output_dir, os.W_OK)):
            raise error
        got = error.strerror or "an error"
        return str(InputError(error.filename or file, "must be possible to read or write", got=got))
    logger.debug("%s", file, exc_info=error)  # its text may quote the file's header, which names the patient
    place = traceback.extract_tb(error.__traceback__)[-1]
    got = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    return str(InputError(file, "must be possible to segment", got=got, fix="Please report this with the line above"))


def _read_one(file: ImageFile, frame: int | None) -> UltrasoundImage:
    try:
        with _DICOM if file.is_dicom else nullcontext():
            return read_image(file, frame=frame)
    except Exception as error:  # a codec has its own kinds for an exhausted memory
        if not out_of_memory(error):
            raise
        rule, fix = "needs more memory than this machine has", "Close other programs, or use a smaller picture"
        raise InputError(file.path, rule, got="a picture too large", fix=fix) from error
