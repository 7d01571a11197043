"""The rules of a manifest about its files: they are there, they can be read, they fit, and no two splits share one."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_lesion.datasets.entries import SPLITS, Entry, label_files, refuse
from monai_lesion.datasets.mask_values import Review
from monai_lesion.errors import ImageError
from monai_lesion.images.reading import frame_count, image_size, read_image, read_mask_values
from monai_lesion.measures.masks import fits


def check_files(file: Path, root: Path, used: Sequence[tuple[str, Entry]], *, labels: bool) -> None:
    """Check that every file is there, and inside the folder of the data when links are followed.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        used: split and entry of each image.
        labels: whether the masks are wanted too.

    Raises:
        ManifestError: names the files.
    """
    absent, locked, outside = [], [], []
    inside = os.path.join(os.path.realpath(root), "")
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    for split, entry in used:
        for name in [entry["image"], *(label_files(entry) if labels else ())]:
            path = os.path.join(root, name)
            folder, last = os.path.split(path)
            if not os.path.isfile(path):
                absent.append(f"{split}, case {entry['case_id']}: {path}")
                continue
            if not os.access(path, os.R_OK):
                locked.append(f"{split}, case {entry['case_id']}: {path}")
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), last)
            if not real.startswith(inside):
                outside.append(f"{split}, case {entry['case_id']}: {path} -> {real}")
    refuse(file, "each file must be present", absent, "Name the folder of the data with --dataset_dir.")
    refuse(file, "each file must be readable by you", locked, "Ask its owner for permission.")
    refuse(file, "each file must be inside the data folder", outside, "Copy the files instead of linking to them.")


def check_frames(file: Path, root: Path, used: Sequence[tuple[str, Entry]]) -> None:
    """Refuse a frame that its file does not have; a file is opened once, however many of its frames are listed.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        used: split and entry of each image.

    Raises:
        ManifestError: names the files.
    """
    count = lru_cache(maxsize=None)(frame_count)
    damaged, beyond = [], []
    for split, entry in used:
        if entry.get("frame") is not None:
            where = f"{split}, case {entry['case_id']}: "
            try:
                frames = count(os.path.join(root, entry["image"]))
            except ImageError as error:
                damaged.append(f"{where}{error}")
                continue
            if entry["frame"] >= frames:
                beyond.append(f"{where}frame {entry['frame']} of {entry['image']}, which has {frames}")
    refuse(file, "each file must be readable", damaged, "Replace the files or drop the entries.")
    refuse(file, "each frame must be in its file, counted from 0", beyond, "A picture that is no cine has frame 0.")


def check_images_apart(
    file: Path, root: Path, lists: Mapping[str, Sequence[Entry]], splits: Sequence[str] = SPLITS
) -> None:
    """Refuse the same image in two splits; only files of equal size in two splits are hashed.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        lists: the entries of each split.
        splits: the splits whose files must all exist; in the others, missing files are ignored.

    Raises:
        ManifestError: names the images.
    """
    used = [(split, entry) for split in splits for entry in lists.get(split, [])]
    others = [(split, entry) for split in lists if split not in splits for entry in lists[split]]
    used += [pair for pair in others if _readable(os.path.join(root, pair[1]["image"]))]
    sizes: dict[int, list[int]] = defaultdict(list)
    for number, (_, entry) in enumerate(used):
        sizes[os.stat(os.path.join(root, entry["image"])).st_size].append(number)
    faults = []
    for numbers in sizes.values():
        if len({used[number][0] for number in numbers}) < 2:
            continue
        digests: dict[bytes, list[int]] = defaultdict(list)
        for number in numbers:
            with open(os.path.join(root, used[number][1]["image"]), "rb") as image:
                digests[hashlib.blake2b(image.read(), digest_size=16).digest()].append(number)
        for same in digests.values():
            first = {used[number][0]: used[number][1]["image"] for number in reversed(same)}  # of each split
            if len(first) > 1:
                more = f" and {len(same) - len(first)} more" if len(same) > len(first) else ""
                faults.append(" = ".join(f"{name} ({split})" for split, name in reversed(first.items())) + more)
    refuse(file, "no image may be in two splits", faults, "Keep one of them and split again by patient.")


def _readable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)


def check_contents(
    file: Path, root: Path, used: Sequence[tuple[str, Entry]], progress: Callable[[Iterable[Any]], Iterable[Any]]
) -> None:
    """Check that images and masks can be read and fit each other, and that no two splits have a picture in common.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        used: split and entry of each image.
        progress: wraps the list, for a progress bar.

    Raises:
        ManifestError: names the rule and the first ten entries that break it.
    """
    damaged, sizes, empty, drawn = [], [], [], []
    splits_of: dict[tuple[int, int], set[str]] = defaultdict(set)  # by size
    shapes: list[tuple[int, int] | None] = []
    review = Review()
    for split, entry in progress(used):
        where = f"{split}, case {entry['case_id']}: "
        shapes.append(None)
        try:
            image = image_size(os.path.join(root, entry["image"]), whole=True)
            masks = {name: read_mask_values(os.path.join(root, name)) for name in label_files(entry)}
        except ImageError as error:
            damaged.append(f"{where}{error}")
            continue
        shapes[-1] = image
        splits_of[image].add(split)
        declared = entry.get("empty", False)
        for name, mask in masks.items():
            review.add(name, mask)
            if not fits(mask.shape, image):
                sizes.append(f"{where}{name} is {mask.shape}, {entry['image']} is {image}")
            elif not declared and not mask.any():
                empty.append(f"{where}{name}")
            elif declared and mask.any():
                drawn.append(f"{where}{name}")
    refuse(file, "each file must be readable", damaged, "Replace the files or drop the entries.")
    refuse(file, "a label must have the rows and columns of its image", sizes, "Export the labels at full size.")
    fix = (
        'Draw the lesion, or declare "empty": true in the entry; `monai-lesion manifest create --allow-empty` does so.'
    )
    refuse(file, "a label must not be empty", empty, fix)
    fix = 'Take "empty" out of the entry, or drop the mask.'
    refuse(file, 'a label must be empty where the entry says "empty": true', drawn, fix)
    review.warn()
    alike = [pair for pair, shape in zip(used, shapes, strict=True) if shape and len(splits_of[shape]) > 1]
    check_pixels_apart(file, root, alike, progress)


def check_pixels_apart(
    file: Path,
    root: Path,
    used: Sequence[tuple[str, Entry]],
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Refuse pictures of the same pixels in two splits, as when a file was saved anew or in another format.

    Args:
        file: the manifest, for the error message.
        root: the folder of the data.
        used: split and entry of each picture; every one is decoded.
        progress: wraps the list, for a progress bar.

    Raises:
        ManifestError: names the pictures, or those that cannot be read.
    """
    seen: dict[bytes, dict[str, str]] = defaultdict(dict)
    damaged = []
    for split, entry in progress(used):
        path = os.path.join(root, entry["image"])
        stat = os.stat(path)
        try:
            digest = _pixel_digest(path, entry.get("frame") or 0, stat.st_size, stat.st_mtime_ns)
        except ImageError as error:
            damaged.append(f"{split}, case {entry['case_id']}: {error}")
            continue
        seen[digest].setdefault(split, entry["image"])
    refuse(file, "each file must be readable", damaged, "Replace the files or drop the entries.")
    faults = [
        " = ".join(f"{name} ({split})" for split, name in found.items()) for found in seen.values() if len(found) > 1
    ]
    rule = "no picture may be in two splits, not even saved anew"
    fix = (
        "Keep one of them and split again by patient; `manifest create --near-duplicates` keeps such patients together."
    )
    refuse(file, rule, faults, fix)


@lru_cache(maxsize=1 << 17)
def _pixel_digest(path: str, frame: int, size: int, changed: int) -> bytes:
    """Hash of a picture's pixels; remembered while size and time of its file stay."""
    pixels = read_image(path, frame=frame).pixels
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()
