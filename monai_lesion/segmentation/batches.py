"""Segment many files into files; one bad image does not stop the rest.

::

    reader thread      read 3   read 4   read 5
    this thread        find 2   find 3   find 4
    writer thread      save 1   save 2   save 3

Decoding and writing run beside the network. Only the few pictures under way are in memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from monai_lesion.datasets.image_lists import find_images, output_names, raise_failures
from monai_lesion.errors import InputError
from monai_lesion.images.reading import ImageFile, UltrasoundImage, read_image
from monai_lesion.machine.progress_bars import bar
from monai_lesion.segmentation.results import DICOM_ENDINGS, RESULT_ENDINGS
from monai_lesion.segmentation.segmenters import no_memory, out_of_memory

if TYPE_CHECKING:
    from monai_lesion.segmentation.results import Segmentation
    from monai_lesion.segmentation.segmenters import Segmenter

# pydicom's settings and Python's warning filters belong to the whole process. DICOM files are therefore read and
# written in turn: otherwise a warning that quotes a patient's name could slip through.
_DICOM = Lock()
AHEAD = 2  # pictures read ahead, and results that wait to be written


@dataclass(frozen=True)
class Pace:
    """How many pictures a batch segmented, and how fast.

    Attributes:
        segmented: number of pictures.
        frames: whether any of them was a frame of a cine.
        seconds: time from opening the first file to writing the last.
    """

    segmented: int
    frames: bool
    seconds: float

    def __str__(self) -> str:
        """For example ``12 images in 3.0 s, 4.0 images per second``."""
        unit = "frames" if self.frames else "images"
        return f"{self.segmented} {unit} in {self.seconds:.1f} s, {self.segmented / self.seconds:.1f} {unit} per second"


@dataclass(frozen=True)
class _Task:
    """One picture or frame, read or not."""

    name: str
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
    frame: int | None = None,
    skip_existing: bool = False,
    progress: bool = True,
    report: Callable[[Pace], object] | None = None,
) -> int:
    """Segment files and folders and save each result; one bad file or frame does not stop the rest.

    Args:
        segmenter: segments each picture.
        sources: files and folders.
        output_dir: folder for the results, which are named after the images; the frames of a cine end in ``_f0000`` and
            so on. Earlier results in it are not taken for images when it lies in a folder of ``sources``.
        formats: see :meth:`Segmentation.save`.
        seg_type: see :meth:`Segmentation.save`.
        frame: frame of a cine to segment, counted from 0; None for all.
        skip_existing: skip images that already have all their results.
        progress: whether to show a bar with the time left.
        report: called at the end with the speed of the batch, even when some images failed.

    Returns:
        The number of pictures segmented.

    Raises:
        InputError: at the end, naming each file or frame that could not be segmented, in the order of the files.
        OSError: at once, when results cannot be written.
    """
    files = find_images(sources, leave_out=output_dir)
    tasks = _read(files, Path(output_dir), formats, frame, skip_existing)
    dicom = any(kind in DICOM_ENDINGS for kind in formats)
    failures: dict[int, str] = {}
    saved: deque[tuple[int, _Task, Future[None]]] = deque()
    done, frames, start = 0, False, time.perf_counter()

    def save(result: Segmentation, name: str) -> None:
        try:
            with _DICOM if dicom else nullcontext():
                result.save(output_dir, formats, name=name, seg_type=seg_type)
        except MemoryError as error:
            raise no_memory(result.image) from error

    def settle() -> None:
        nonlocal done, frames
        number, task, future = saved.popleft()
        try:
            future.result()
            done, frames = done + 1, frames or task.frame
        except InputError as error:
            failures[number] = str(error)
        shown.update()

    with (
        bar(title="segmenting", total=len(files), shown=progress) as shown,
        _thread("writer") as writer,
        _thread("reader") as reader,
    ):
        for number, task in enumerate(_ahead(tasks, reader)):
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
            except InputError as error:
                failures[number] = str(error)
                shown.update()
                continue
            # The task that waits must not hold the picture once it is written.
            saved.append((number, replace(task, image=None), writer.submit(save, result, task.name)))
            del result, task
        while saved:
            settle()
        total = shown.total
    if report is not None:
        report(Pace(done, frames, max(time.perf_counter() - start, 1e-9)))
    raise_failures({str(number): failures[number] for number in sorted(failures)}, total)
    return done


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
    files: Sequence[Path], output_dir: Path, formats: Sequence[str], frame: int | None, skip_existing: bool
) -> Iterator[_Task]:
    """Read each picture or frame whose results are wanted."""
    inputs = {file.resolve() for file in files}
    names = output_names(files)
    taken = {name.casefold() for name in names}
    for file, name in zip(files, names, strict=True):
        try:
            with ImageFile(file) as source:
                with _DICOM:
                    count = source.frames
                while count > 1 and any(f"{name}_f{number:04d}".casefold() in taken for number in range(count)):
                    name += "_cine"
                chosen: Sequence[int | None] = range(count) if count > 1 and frame is None else [frame]
                for place, number in enumerate(chosen):
                    stem = name if count == 1 else f"{name}_f{number:04d}"
                    results = [output_dir / f"{stem}{RESULT_ENDINGS[kind]}" for kind in formats]
                    facts: dict[str, Any] = {"frame": count > 1, "more": len(chosen) - 1 if place == 0 else 0}
                    if skip_existing and all(result.exists() for result in results):
                        yield _Task(stem, **facts)
                        continue
                    try:
                        _check_separate(results, inputs)
                        task = _Task(stem, _read_one(source, number), **facts)
                    except InputError as error:
                        task = _Task(stem, failure=str(error), **facts)
                    yield task
                    del task
        except InputError as error:
            yield _Task(name, failure=str(error))


def _read_one(file: ImageFile, frame: int | None) -> UltrasoundImage:
    try:
        with _DICOM if file.is_dicom else nullcontext():
            return read_image(file, frame=frame)
    except Exception as error:  # a codec has its own kinds for an exhausted memory
        if not out_of_memory(error):
            raise
        rule, fix = "needs more memory than this machine has", "Close other programs, or use a smaller picture"
        raise InputError(file.path, rule, got="a picture too large", fix=fix) from error


def _check_separate(results: Iterable[Path], inputs: Container[Path]) -> None:
    """Refuse to write a result over an image."""
    for result in results:
        if result.resolve() in inputs:
            rule = "must not be an image of the batch: its result would replace it"
            raise InputError(result, rule, fix="Give --output a folder of its own")
