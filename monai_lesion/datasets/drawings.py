"""What was drawn on the pictures of a folder: mask files, LabelMe files beside the pictures, or one COCO file."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from monai_lesion.datasets.image_lists import files_in
from monai_lesion.datasets.mask_names import SUFFIXES, masks_of, stem_of
from monai_lesion.datasets.mask_values import Choice
from monai_lesion.datasets.patterns import Named, fill, left_out, name_by_stem, name_files, nearly_fitting, words_of
from monai_lesion.datasets.polygons import CocoFile, is_coco, is_labelme, labelme_mask
from monai_lesion.errors import InputError, listing
from monai_lesion.files import no_file, true_place
from monai_lesion.images.reading import image_size, read_mask_values
from monai_lesion.images.writers import write_mask
from monai_lesion.measures.masks import check_fits

Mask = NDArray[np.bool_]
MASKS = "lesion_masks"  # folder for masks that are made
KINDS = ("masks", "labelme")


@dataclass(frozen=True)
class Drawing:
    """A picture and what was drawn on it.

    Args:
        named: the picture.
        masks: mask files, whose union is the lesion.
        draw: makes the mask of a picture of ``(rows, columns)`` from outlines; None where there are files, or nothing.
        wanted: what was looked for, for the message where there is nothing.
    """

    named: Named
    masks: tuple[str, ...] = ()
    draw: Callable[[tuple[int, int]], Mask] | None = None
    wanted: str = ""

    @property
    def drawn(self) -> bool:
        """Whether there is anything, if only an empty mask."""
        return bool(self.masks) or self.draw is not None

    def mask(self, root: Path, choice: Choice) -> Mask:
        """The lesion ``(H, W)``.

        Args:
            root: the folder of the data.
            choice: which values of mask files are lesion.

        Raises:
            InputError: when a file cannot be read, or is of another size than the picture.
        """
        size = image_size(root / self.named.path)
        if self.draw is not None:
            return self.draw(size)
        lesion = np.zeros(size, bool)
        for file in self.masks:
            values = read_mask_values(root / file, lossy=choice.threshold is not None)
            check_fits(file, values.shape, size)
            lesion |= choice.of(values)
        return lesion


class MaskFolder:
    """Where masks are written that are made from outlines or from chosen values.

    Args:
        root: the folder of the data.
        folder: the folder for the masks, inside it.

    Raises:
        InputError: when it lies outside.
    """

    def __init__(self, root: Path, folder: str | Path) -> None:
        self.root, self.folder = true_place(root), true_place(folder)
        if self.folder == self.root or not self.folder.is_relative_to(self.root):
            raise InputError(folder, "must be a folder inside that of the data, where paths start", got=self.folder)
        self._existed = self.folder.exists()
        self._written: dict[str, bool] = {}

    def write(self, image: str, mask: Mask) -> str:
        """Write the mask of an image, and give its path from the folder of the data."""
        place = PurePosixPath(image).with_name(stem_of(PurePosixPath(image).name))
        stem = str(place if str(place).casefold() not in self._written else image)
        file = Path(f"{self.folder / stem}.png")
        self._written[stem.casefold()] = not file.exists()
        write_mask(mask, self.folder / stem, format="png")
        return file.relative_to(self.root).as_posix()

    def undo(self) -> None:
        """Remove the folder, where it did not exist before."""
        if not self._existed and self.folder.is_dir():
            import shutil

            shutil.rmtree(self.folder)


def find_drawings(
    root: Path, images: str | None, labels: str | None, *, names: Sequence[str] = (), skipped: Path | None = None
) -> list[Drawing]:
    """Find the pictures of a folder and what was drawn on them.

    Args:
        root: the folder of the data.
        images: pattern of the images; None takes each picture for a case of its own.
        labels: pattern of mask or LabelMe files, the path of a COCO file, "masks" or "labelme"; None looks which there
            are.
        names: labels of LabelMe or categories of COCO to take; empty for all.
        skipped: folder that holds neither pictures nor masks of the user.

    Returns:
        One for each picture, sorted by path.

    Raises:
        InputError: when a pattern is wrong or fits no file, or the folder does not tell what is a mask.
    """
    paths = _paths(root, skipped)
    if labels is not None and (words_of(labels) or "*" in labels):
        if images is None:
            fix = f"For example --images '{_beside(labels)}'"
            raise InputError("--images", "must be a pattern where --labels is one", got="none", fix=fix)
        drawings = _by_pattern(root, paths, images, labels, names)
    else:
        pictures = [path.relative_to(root).as_posix() for path in files_in(root)]
        drawings = _by_kind(root, paths, [path for path in pictures if path in set(paths)], images, labels, names)
    if not drawings:
        near = nearly_fitting(paths, images) if images else []
        got = f"none, but {len(near)} with other letter case or ending, such as {near[0]}" if near else "none"
        fix = "Paths are relative to the folder"
        raise InputError(root, f"must hold files named {images or 'as pictures are'}", got=got, fix=fix)
    if images is not None:
        used = {file for each in drawings for file in (each.named.path, *each.masks)}
        left_out(root, images, used, skipped=skipped)
    return drawings


def _paths(root: Path, skipped: Path | None) -> list[str]:
    found: list[str] = []
    locked: list[OSError] = []
    for folder, below, names in os.walk(root, onerror=locked.append):
        below[:] = [one for one in below if not one.startswith(".") and true_place(Path(folder, one)) != skipped]
        place = Path(folder).relative_to(root)
        found += [(place / name).as_posix() for name in names if not name.startswith(".")]
    if locked:
        rule, fix = "must be readable, for its pictures would be missing", "Allow it, or move the folder away"
        raise InputError(locked[0].filename, rule, got="no permission", fix=fix)
    return sorted(found)


def _by_pattern(root: Path, paths: Sequence[str], images: str, labels: str, names: Sequence[str]) -> list[Drawing]:
    pictures = [path for path in paths if path.lower().endswith(SUFFIXES)] if images.endswith(".*") else paths
    found = name_files(pictures, images)
    if not words_of(labels) <= words_of(images) or "}*" in labels:
        known = ", ".join(f"{{{name}}}" for name in sorted(words_of(images)))
        raise InputError("labels", f"the pattern may hold {known}, and no * right after a word", got=labels)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[path.rpartition("/")[0]].append(path)
    similar, every = {_plain(path): path for path in paths}, set(paths)
    files: dict[str, tuple[str, ...]] = {}
    for each in found:
        wanted = fill(labels, each.words)
        if wanted == each.path:
            raise InputError("labels", "the pattern must not give the image itself", got=labels)
        fits = re.compile("[^/]*".join(map(re.escape, wanted.split("*")))).fullmatch
        near = by_folder.get(wanted.rpartition("/")[0], []) if "*" in wanted else [wanted] * (wanted in every)
        files[each.path] = tuple(sorted(path for path in near if path != each.path and fits(path)))
    masks = {file for its in files.values() for file in its}
    drawings = []
    for each in found:
        if each.path in masks:
            continue
        wanted = fill(labels, each.words)
        other = similar.get(_plain(wanted), "")
        hint = f" (but {other})" if other and other != each.path else ""
        drawing = Drawing(each, files[each.path], wanted=f"file {wanted} of {each.path}{hint}")
        if labels.lower().endswith(".json") and drawing.masks:
            its = [root / file for file in drawing.masks]
            drawing = Drawing(each, draw=partial(_labelme_masks, its, names=names))
        drawings.append(drawing)
    return drawings


def _beside(labels: str) -> str:
    """A likely pattern of the images, from that of their masks."""
    words = re.search(r"\{.*\}", labels.rpartition("/")[2])
    return f"**/{words[0] if words else '{case}'}.*"


def _plain(path: str) -> str:
    """A path without ending and letter case."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{stem_of(name)}".casefold()


def _labelme_masks(files: Sequence[Path], size: tuple[int, int], names: Sequence[str]) -> Mask:
    return np.asarray(np.logical_or.reduce([labelme_mask(file, size, names) for file in files]))


def _by_kind(
    root: Path,
    paths: Sequence[str],
    pictures: Sequence[str],
    images: str | None,
    labels: str | None,
    names: Sequence[str],
) -> list[Drawing]:
    masks = masks_of(pictures)
    taken = {file for its in masks.values() for file in its}
    rest = [path for path in pictures if path not in taken]
    beside = _labelme_files(root, paths, pictures) if labels in (None, "labelme") else {}
    named_file = labels is not None and labels not in KINDS
    coco = [_named_file(root, str(labels))] if named_file else [] if labels else _coco_files(root, paths, beside)
    kinds = [kind for kind, found in (("masks", masks), ("labelme", beside), ("a COCO file", coco)) if found]
    if labels is None and len(kinds) > 1:
        one = coco[0].relative_to(root).as_posix() if coco else "FILE.json"
        fix = f"Say which: --labels masks, --labels labelme, or --labels {one}"
        raise InputError(root, "must hold one kind of labels", got=" and ".join(kinds), fix=fix)
    if coco:
        return _of_coco(root, [CocoFile(file, names) for file in coco], pictures, images)
    if beside:
        named = name_files(rest, images) if images else name_by_stem(rest, folder=root)
        return [
            Drawing(each, draw=partial(labelme_mask, root / beside[each.path], names=names))
            if each.path in beside
            else Drawing(each, wanted=f"LabelMe file of {each.path}")
            for each in named
        ]
    if not pictures:
        ends = f"names that end in {listing(list(SUFFIXES))}"
        raise InputError(root, "must hold pictures, with their masks", got="none", fix=f"Pictures have {ends}")
    if not masks:
        fix = "Say where the masks are with --images and --labels, for example --labels 'masks/{case}.png'"
        raise InputError(root, "must hold masks, LabelMe files or a COCO file", got="none that are recognised", fix=fix)
    named = name_files(rest, images) if images else name_by_stem(rest, folder=root)
    return [Drawing(each, tuple(masks.get(each.path, ())), wanted=f"mask of {each.path}") for each in named]


def _labelme_files(root: Path, paths: Sequence[str], pictures: Sequence[str]) -> dict[str, str]:
    """LabelMe's file of each picture: of its name, with the ending .json."""
    known = set(paths)
    beside = {path: f"{stem_of(path)}.json" for path in pictures}
    found = {picture: file for picture, file in beside.items() if file in known}
    return found if any(is_labelme(_object(root / file)) for file in list(found.values())[:5]) else {}


def _coco_files(root: Path, paths: Sequence[str], beside: dict[str, str]) -> list[Path]:
    others = [path for path in paths if path.lower().endswith(".json") and path not in set(beside.values())]
    return [root / path for path in others if is_coco(_object(root / path))] if len(others) < 100 else []


def _object(file: Path) -> dict[str, object]:
    """The object of a JSON file; empty where it is something else."""
    if no_file(file) is not None:
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _named_file(root: Path, labels: str) -> Path:
    file = next((file for file in (root / labels, Path(labels)) if file.is_file()), None)
    if file is None:
        fix = f"Or say {' or '.join(KINDS)}, or a pattern with {{case}}"
        raise InputError("labels", "must be a COCO file", got=f"no file {labels}", fix=fix)
    return file


def _of_coco(root: Path, files: Sequence[CocoFile], pictures: Sequence[str], images: str | None) -> list[Drawing]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        parts = picture.split("/")
        for number in range(len(parts)):
            by_name["/".join(parts[number:])].append(picture)
    found: dict[str, tuple[CocoFile, str]] = {}
    absent = []
    for file in files:
        for name in file.images:
            places = by_name.get(name.replace("\\", "/").removeprefix("./"), [])
            if len(places) != 1:
                absent.append(f"{name} ({len(places)} files)")
            else:
                found[places[0]] = (file, name)
    if absent:
        rule = "each picture of the COCO file must be one file of the folder"
        raise InputError(root, rule, got=listing(absent), fix="Name the folder that holds them")
    named = name_files(sorted(found), images) if images else name_by_stem(sorted(found), folder=root)
    return [Drawing(each, draw=partial(file.mask, name)) for each in named for file, name in [found[each.path]]]
