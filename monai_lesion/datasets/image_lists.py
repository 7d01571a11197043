"""Find the images of a batch in folders, files or a manifest's split; unreadable ones are reported."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from monai_lesion.datasets.mask_names import SUFFIXES, masks_of, stem_of
from monai_lesion.errors import ImageError, InputError, printable
from monai_lesion.files import no_file, true_place
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.reading import read_image

logger = logging.getLogger(__name__)

NO_IMAGES = ("no such file", "a folder", "a pipe, a socket or a device")  # any other reason is one that a user can mend


def find_images(
    sources: str | Path | Iterable[str | Path],
    *,
    leave_out: str | Path | None = None,
    exclude: Sequence[str] = (),
) -> list[Path]:
    """Find the image files in a list of files and folders; folders are searched with their subfolders and sorted.

    In a folder, masks are left out when their picture is there too, see
    :func:`monai_lesion.datasets.mask_names.masks_of`; the log says how many. A file that is named itself is always
    taken.

    Args:
        sources: a file, a folder or several. In a folder, files with the ending of a picture or a DICOM preamble count,
            but not hidden files or a DICOMDIR.
        leave_out: folder to skip, such as that of earlier results, unless it is a source itself.
        exclude: patterns of further files to leave out, such as ``*_old.png`` or ``masks/*``; ``*`` is any text, and a
            pattern fits the file's name, its path in the folder, or a folder on the way.

    Raises:
        InputError: when nothing is found.
    """
    listed = [sources] if isinstance(sources, (str, Path)) else list(sources)
    files: list[Path] = []
    skipped = None if leave_out is None else true_place(leave_out)
    for source in map(Path, listed):
        if os.path.isdir(source):
            found = files_in(source)
            if skipped is not None and not true_place(source).is_relative_to(skipped):
                found = [path for path in found if not true_place(path).is_relative_to(skipped)]
            files += _without(found, source, exclude)
        else:
            files.append(source)  # a missing file is reported as one bad file of the batch
    if not files:
        raise InputError(
            "images", "must name image files, or folders that contain some", got=", ".join(map(str, listed))
        )
    return list(dict.fromkeys(files))


def files_in(folder: Path) -> list[Path]:
    """Every file of a folder and its subfolders that may be a picture or a mask, sorted.

    What cannot be opened is among them, to be reported when its turn comes: a subfolder or a file without permission,
    and a link to nothing. A link to a folder is not followed, and the log says so.
    """
    found: list[Path] = []
    locked: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=locked.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if os.path.islink(os.path.join(place, name)):
                logger.warning("%s: a link to a folder is not followed", printable(os.path.join(place, name)))
        found += [path for name in names if _is_image(path := Path(place, name))]
    return sorted([*found, *(Path(str(error.filename)) for error in locked)])


def walk_images(folder: Path, *, leave_out: Path | None = None, exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Give the pictures of a folder and its subfolders as :func:`find_images` finds them, with one folder in memory.

    Of masks it therefore knows only those that lie in the folder of their picture.

    Args:
        folder: where to search.
        leave_out: folder to skip, such as that of earlier results, unless it holds ``folder``.
        exclude: see :func:`find_images`.
    """
    locked: list[OSError] = []
    skipped = None if leave_out is None else true_place(leave_out)
    if skipped is not None and true_place(folder).is_relative_to(skipped):
        skipped = None
    for place, folders, names in os.walk(folder, onerror=locked.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if skipped is not None:
            folders[:] = [name for name in folders if true_place(os.path.join(place, name)) != skipped]
        relative = Path(place).relative_to(folder)
        images = [name for name in sorted(names) if _is_image(Path(place, name))]
        kept = [name for name in images if not any(_fits((relative / name).as_posix(), each) for each in exclude)]
        masks = {mask for found in masks_of(kept).values() for mask in found}
        yield from (Path(place, name) for name in kept if name not in masks)
        yield from (Path(str(error.filename)) for error in locked)
        locked.clear()
    yield from (Path(str(error.filename)) for error in locked)


def _without(files: Sequence[Path], folder: Path, exclude: Sequence[str]) -> list[Path]:
    """Leave out masks that have their picture, and what the user excludes; say so."""
    names = {path.relative_to(folder).as_posix(): path for path in files}
    excluded = [name for name in names if any(_fits(name, pattern) for pattern in exclude)]
    masks = [mask for found in masks_of(names.keys() - set(excluded)).values() for mask in found]
    for left, why in ((excluded, "as --exclude says"), (masks, "masks by their name, with their picture beside them")):
        if left:
            logger.info("left out %d %s, such as %s", len(left), why, min(left))
    return [path for name, path in names.items() if name not in {*excluded, *masks}]


def _fits(name: str, pattern: str) -> bool:
    parents = [str(parent) for parent in PurePosixPath(name).parents][:-1]
    places = [name, *parents, *(PurePosixPath(place).name for place in (name, *parents))]
    return any(fnmatchcase(place, pattern.rstrip("/")) for place in places)


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.name.lower().endswith(SUFFIXES):
        return True
    found = no_file(path)
    if found is not None:
        return found not in NO_IMAGES
    try:
        return is_dicom(path)
    except OSError:  # without permission, for instance
        return True


def output_names(files: Sequence[Path]) -> list[str]:
    """Make a unique name for the results of each file, even on disks that ignore case.

    The name is the file's without its ending; with the ending if its folder has another file of that name; and with as
    much of its path as is needed to distinguish it from the others.

    Example:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("b/2.dcm")])
        ['a/1', 'b/1', '2.png', '2.dcm']
    """
    absolute = [Path(os.path.abspath(path)) for path in files]
    in_folder = Counter((str(path.parent).casefold(), stem_of(path.name).casefold()) for path in absolute)
    own = [
        path.name if in_folder[str(path.parent).casefold(), stem_of(path.name).casefold()] > 1 else stem_of(path.name)
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


def frame_name(name: str, frame: int | None) -> str:
    """Name the results of one frame of a cine; those of a single image keep the name.

    Example:
        >>> frame_name("a", 3), frame_name("a", None)
        ('a_f0003', 'a')
    """
    return name if frame is None else f"{name}_f{frame:04d}"


def cine_name(name: str, frames: int, others: Container[str]) -> str:
    """Name the results of a file, so that none of its frames has the name of another file.

    Args:
        name: the file's.
        frames: how many it has.
        others: the names of all files, case-folded.

    Example:
        >>> cine_name("a", 3, {"a", "a_f0002"})
        'a_cine'
    """
    while frames > 1 and any(frame_name(name, number).casefold() in others for number in range(frames)):
        name += "_cine"
    return name


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
    return [images] if os.path.exists(images) else [name.strip() for name in images.split(",") if name.strip()]
