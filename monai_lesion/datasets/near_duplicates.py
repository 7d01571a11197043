"""Find pictures that look alike: saved again, slightly cropped, or neighbouring frames of a cine.

:func:`monai_lesion.datasets.manifests.load_manifest` finds files with equal bytes; these are the ones it cannot find.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.images.reading import read_image

logger = logging.getLogger(__name__)

SIDE = 64  # pixels of the small pictures that are compared
LIKENESS = 0.9  # measured on BUSI and BUS-BRA, see docs/how-to/busi.md
_BLOCK = 1024  # pictures compared at once


def find_near_duplicates(
    images: Sequence[str | Path],
    *,
    likeness: float = LIKENESS,
    frames: Sequence[int | None] = (),
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[int]:
    """Group pictures that look alike.

    Two pictures are alike when their grey values correlate after shrinking to 64 x 64. Groups are transitive: if a is
    like b and b like c, all three are one group. Mirrored or rotated pictures are not found, and captures of whole
    screens may look alike because of the scanner's frame. The log says how many were found.

    Args:
        images: the files.
        likeness: smallest correlation of two pictures that count as alike, above 0 and at most 1.
        frames: the frame of each file, for cines; empty for the first of each.
        progress: wraps the list of files, for a progress bar.

    Returns:
        For each picture the number of its group: the index of the group's first picture.

    Raises:
        InputError: when ``likeness`` is out of range or a file cannot be read.
    """
    if not 0 < likeness <= 1:
        raise InputError("likeness", "must be above 0 and at most 1", got=likeness)
    wanted = frames or [0] * len(images)
    looks = [_look(file, frame) for file, frame in progress(list(zip(images, wanted, strict=True)))]
    vectors = np.stack(looks) if looks else np.zeros((0, SIDE * SIDE), np.float32)
    groups = Groups(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        for other in range(start, len(vectors), _BLOCK):
            alike = np.argwhere(block @ vectors[other : other + _BLOCK].T >= likeness - 1e-6)
            for first, second in alike:
                groups.join(start + int(first), other + int(second))
    found = [groups.first(number) for number in range(len(vectors))]
    sizes = Counter(found)
    alike_count = sum(size for size in sizes.values() if size > 1)
    told = alike_count, len(found), max(sizes.values(), default=0)
    logger.info("%d of %d pictures look like another one; the largest group holds %d", *told)
    return found


def _look(file: str | Path, frame: int | None) -> NDArray[np.float32]:
    """Shrink the picture to a unit vector without mean: the product of two such vectors is their correlation."""
    from PIL import Image

    grey = Image.fromarray(read_image(file, frame=frame or 0).pixels).convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32).ravel()
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    return np.asarray(small / length if length else small)  # a picture of a single grey is like no other


class Groups:
    """Disjoint groups of numbers that are joined pair by pair (union-find); the smallest number names a group."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def first(self, number: int) -> int:
        """Find the smallest number in the group of a number."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Merge the groups of two numbers."""
        small, large = sorted((self.first(one), self.first(other)))
        self._parents[large] = small


def joined_groups(names: Iterable[str], *keys: Sequence[str]) -> dict[str, str]:
    """Group names that share any key, and give each name the first name of its group.

    Args:
        names: distinct names.
        keys: lists with one key per name.

    Example:
        >>> joined_groups("abcd", ["1", "2", "2", "3"], ["x", "x", "y", "z"])
        {'a': 'a', 'b': 'a', 'c': 'a', 'd': 'd'}
    """
    ordered = list(names)
    groups = Groups(len(ordered))
    for each in keys:
        seen: dict[str, int] = {}
        for number, key in enumerate(each):
            groups.join(seen.setdefault(key, number), number)
    return {name: ordered[groups.first(number)] for number, name in enumerate(ordered)}
