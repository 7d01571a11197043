"""Many images, from files to files: one bad image does not stop the rest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.data.image_lists import find_images, output_names, raise_failures
from monai_lesion.data.images import frame_count
from monai_lesion.data.readers import read_image
from monai_lesion.errors import InputError
from monai_lesion.results import RESULT_ENDINGS

if TYPE_CHECKING:
    from monai_lesion.inference import LesionSegmenter


def segment_files(
    segmenter: LesionSegmenter,
    sources: str | Path | Iterable[str | Path],
    output_dir: str | Path,
    *,
    formats: Sequence[str] = ("png",),
    seg_type: str = "binary",
    frame: int | None = None,
    skip_existing: bool = False,
    progress: bool = True,
) -> int:
    """Segment files and folders and save each result; one bad file or frame does not stop the rest.

    Args:
        segmenter: segments one picture.
        sources: files and folders.
        output_dir: folder of the results, named after the images; those of a cine's frames end in ``_f0000`` and so on.
            When it lies in a folder of ``sources``, earlier results in it are not taken for images.
        formats: as of :meth:`Segmentation.save`.
        seg_type: as of :meth:`Segmentation.save`.
        frame: frame of cines, from 0; None for all.
        skip_existing: leave out images whose results exist all.
        progress: whether to show a bar with the time left.

    Returns:
        How many were segmented.

    Raises:
        InputError: at the end, naming each file or frame that could not be segmented.
    """
    from tqdm import tqdm

    files = find_images(sources, leave_out=output_dir)
    inputs = {file.resolve() for file in files}
    failures: dict[str, str] = {}
    done = 0
    with tqdm(total=len(files), desc="segmenting", unit="image", disable=not progress) as bar:
        for key, file, number, name in _tasks(files, frame, bar, failures):
            results = [Path(output_dir) / f"{name}{RESULT_ENDINGS[kind]}" for kind in formats]
            if not (skip_existing and all(result.exists() for result in results)):
                try:
                    _check_separate(results, inputs)
                    segmenter.segment(read_image(file, frame=number)).save(
                        output_dir, formats, name=name, seg_type=seg_type
                    )
                    done += 1
                except InputError as error:
                    failures[key] = str(error)
            bar.update()
        total = bar.total
    raise_failures(failures, total)
    return done


def _tasks(
    files: Sequence[Path], frame: int | None, bar: Any, failures: dict[str, str]
) -> Iterator[tuple[str, Path, int | None, str]]:
    """Each picture or frame: a key, its file, its frame and the name of its results."""
    names = output_names(files)
    taken = {name.casefold() for name in names}
    for file, name in zip(files, names, strict=True):
        try:
            count = frame_count(file)
        except InputError as error:
            failures[str(file)] = str(error)
            bar.update()
            continue
        if count == 1:
            yield str(file), file, frame, name
            continue
        chosen = range(count) if frame is None else [frame]
        bar.total += len(chosen) - 1
        bar.refresh()
        while any(f"{name}_f{number:04d}".casefold() in taken for number in range(count)):
            name += "_cine"
        for number in chosen:
            yield f"{file} {number}", file, number, f"{name}_f{number:04d}"


def _check_separate(results: Iterable[Path], inputs: Container[Path]) -> None:
    """Refuse to write a result over an image."""
    for result in results:
        if result.resolve() in inputs:
            rule = "must not be an image of the batch: its result would replace it"
            raise InputError(result, rule, fix="Give --output a folder of its own")
