"""Find the images of a batch in folders, files or a manifest's split; unreadable ones are reported."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.reading import read_image
from monai_lesion.images.volumes import VOLUME_SUFFIXES

logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", *VOLUME_SUFFIXES)


def find_images(sources: str | Path | Iterable[str | Path], *, leave_out: str | Path | None = None) -> list[Path]:
    """Find the image files in a list of files and folders; folders are searched with their subfolders and sorted.

    Args:
        sources: a file, a folder or several. In a folder, files with the ending of a picture or a DICOM preamble count,
            but not hidden files or a DICOMDIR.
        leave_out: folder to skip, such as that of earlier results, unless it is a source itself.

    Raises:
        InputError: when nothing is found.
    """
    listed = [sources] if isinstance(sources, (str, Path)) else list(sources)
    files: list[Path] = []
    skipped = None if leave_out is None else Path(leave_out).resolve()
    for source in map(Path, listed):
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if _is_image(path, source))
            if skipped is not None and not source.resolve().is_relative_to(skipped):
                found = [path for path in found if not path.resolve().is_relative_to(skipped)]
            files += found
        else:
            files.append(source)  # a missing file is reported as one bad file of the batch
    if not files:
        raise InputError(
            "images", "must name image files, or folders that contain some", got=", ".join(map(str, listed))
        )
    return list(dict.fromkeys(files))


def _is_image(path: Path, folder: Path) -> bool:
    if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
        return False
    if path.name.lower().endswith(SUFFIXES):
        return True
    return path.name != "DICOMDIR" and os.access(path, os.R_OK) and is_dicom(path)


def output_names(files: Sequence[Path]) -> list[str]:
    """Make a unique name for the results of each file, even on disks that ignore case.

    The name is the file's without its ending; with the ending if its folder has another file of that name; and with as
    much of its path as is needed to distinguish it from the others.

    Example:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("b/2.dcm")])
        ['a/1', 'b/1', '2.png', '2.dcm']
    """
    absolute = [Path(os.path.abspath(path)) for path in files]
    in_folder = Counter((str(path.parent).casefold(), _stem(path).casefold()) for path in absolute)
    own = [
        path.name if in_folder[str(path.parent).casefold(), _stem(path).casefold()] > 1 else _stem(path)
        for path in absolute
    ]
    alike: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(own):
        alike[name.casefold()].append(number)
    names = list(own)
    for numbers in alike.values():
        parents = [absolute[number].parent.parts[1:] for number in numbers]
        distinct = len({"/".join(parent).casefold() for parent in parents})
        for depth in range(max(map(len, parents)) + 1):
            for number, parent in zip(numbers, parents, strict=True):
                names[number] = "/".join([*parent[max(0, len(parent) - depth) :], own[number]])
            if len({names[number].casefold() for number in numbers}) == distinct:
                break
    return _numbered(names)


def _stem(path: Path) -> str:
    """Drop the ending of a picture; what follows the last dot of a DICOM identifier is not an ending."""
    ending = max((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), key=len, default="")
    return path.name[: len(path.name) - len(ending)] or path.name


def _numbered(names: Sequence[str]) -> list[str]:
    """Number names that are still equal: ``A.png`` and ``a.png`` in one folder."""
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    distinct = []
    for name in names:
        count, chosen = 1, name
        while chosen.casefold() in seen or (count > 1 and chosen.casefold() in taken):
            count += 1
            chosen = f"{name}_{count}"
        seen.add(chosen.casefold())
        distinct.append(chosen)
    return distinct


class ImageList:
    """Images for the bundle's inference: ``entries`` are readable, ``failures`` are not.

    Each image is decoded once here as a check, and again when its turn comes. That takes a few milliseconds per image,
    far less than the network, and keeps memory flat.

    Args:
        images: files and folders, separated by commas in a text; None takes the manifest's split.
        manifest: manifest or list of manifests whose split is segmented when ``images`` is None; None for the simulated
            cases.
        dataset_dir: folder that the manifest's paths start from, or a list of one for each.
        split: the split.

    Raises:
        InputError: when there are no images, or none can be read.
    """

    def __init__(
        self,
        images: str | Path | Iterable[str | Path] | None = None,
        *,
        manifest: str | Path | Sequence[str | Path] | None = None,
        dataset_dir: str | Path | Sequence[str | Path | None] | None = None,
        split: str = "test",
    ) -> None:
        if images is not None:
            files = find_images(_separate(images) if isinstance(images, str) else images)
        else:
            from monai_lesion.datasets.defaults import open_data

            data = open_data(manifest, dataset_dir, splits=[split], labels=False)
            files = list(dict.fromkeys(Path(entry["image"]) for entry in data.entries(split)))
        self.names = dict(zip(map(str, files), output_names(files), strict=True))
        self.entries: list[dict[str, str]] = []
        self.failures: dict[str, str] = {}
        for file in files:
            try:
                read_image(file, frame=0)
                self.entries.append({"image": str(file)})
            except ImageError as error:
                logger.error("%s", error)
                self.failures[str(file)] = str(error)
        if not self.entries:
            self.report()

    def report(self) -> None:
        """Raise an error if images were left out, so that the run exits with a non-zero status.

        Raises:
            InputError: names each bad file.
        """
        raise_failures(self.failures, len(self.names))


def raise_failures(failures: Mapping[str, str], total: int) -> None:
    """End a batch with an error if some of its images failed.

    Args:
        failures: the error of each bad file.
        total: how many images there were.

    Raises:
        InputError: names each bad file.
    """
    if failures:
        listed = "\n  ".join(failures.values())
        raise InputError("images", f"{len(failures)} of {total} could not be segmented:\n  {listed}")


def _separate(images: str) -> list[str]:
    """Split a text at its commas; a file whose own name contains a comma stays whole."""
    return [images] if Path(images).exists() else [name.strip() for name in images.split(",") if name.strip()]
