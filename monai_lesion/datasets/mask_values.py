"""What masks hold besides 0 and one value, and which of it is lesion: grey fringes, several values, inverted masks."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError, listing

logger = logging.getLogger(__name__)

LABELS = 6  # more values than this are a fringe of greys, as of a mask that was a JPEG once or was resized
FRINGE = 0.3  # share of a lesion below which three to six values up to 255 are a fringe, not labels
WHOLE = 0.98  # share of a picture from which a mask covers it


@dataclass(frozen=True)
class Choice:
    """Which values of a mask are lesion; all above 0 unless told otherwise.

    Args:
        values: these values alone.
        threshold: this value and all above it.
    """

    values: tuple[int, ...] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.values and self.threshold is not None:
            raise InputError("--lesion-value and --threshold", "exclude each other", got="both")

    def __bool__(self) -> bool:
        return bool(self.values) or self.threshold is not None

    def of(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """The lesion ``(H, W)`` of a mask's values."""
        if self.values:
            return np.isin(array, self.values)
        return np.asarray(array > 0 if self.threshold is None else array >= self.threshold)


ALL = Choice()


@dataclass
class Review:
    """What a set of masks holds; :meth:`warn` says in the log what is unlikely."""

    masks: int = 0
    fringes: dict[str, float] = field(default_factory=dict)  # how much larger the mask is than above half
    values: Counter[tuple[int, ...]] = field(default_factory=Counter)
    inverted: dict[str, float] = field(default_factory=dict)  # share of the picture
    whole: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Look at the values ``(H, W)`` of a mask, all above 0 taken for lesion."""
        self.masks += 1
        lesion = np.asarray(array > 0)
        if not lesion.any():
            return
        values = np.flatnonzero(np.bincount(array.ravel())) if array.dtype == np.uint8 else np.unique(array)
        found = [value for value in values.tolist() if value > 0]
        rim = int(((array > 0) & (array < found[-1])).sum())
        if len(found) > LABELS or (len(found) > 2 and found[-1] == 255 and rim < FRINGE * lesion.sum()):
            half = int((array >= (found[-1] + 1) / 2).sum())
            if half and lesion.sum() != half:
                self.fringes[name] = float(lesion.sum()) / half - 1
        elif len(found) > 1:
            self.values[tuple(map(int, found))] += 1
        share = float(lesion.mean())
        if share >= WHOLE:
            self.whole[name] = share
        elif share > 0.5 and lesion[[0, 0, -1, -1], [0, -1, 0, -1]].all():
            self.inverted[name] = share

    def warn(self) -> None:
        """Write a warning for each kind of unlikely mask, with what is taken for lesion."""
        if self.fringes:
            more = np.array(list(self.fringes.values()))
            logger.warning(
                "%d of %d masks have grey fringes, as after JPEG or resizing: everything above 0 is taken for lesion, "
                "%.0f %% more than from half on in the mean, %.0f %% in the worst, %s. --threshold 128 of `manifest "
                "create` takes what is at least half",
                *(len(more), self.masks, 100 * more.mean(), 100 * more.max(), max(self.fringes, key=self.fringes.get)),  # type: ignore[arg-type]
            )
        for values, count in self.values.most_common(3):
            several = ", ".join(map(str, values))
            logger.warning(
                "%d of %d masks hold the values %s: all of them are taken for lesion. --lesion-value %d of `manifest "
                "create` takes one",
                *(count, self.masks, several, values[-1]),
            )
        for found, what, fix in (
            (self.inverted, "look inverted: the lesion reaches all corners", "--lesion-value 0 takes the black part"),
            (self.whole, "cover the whole picture", "Look at them"),
        ):
            if found:
                share = 100 * float(np.mean(list(found.values())))
                told = (len(found), self.masks, what, share, listing(list(found)), fix)
                logger.warning("%d of %d masks %s, %.0f %% of the picture: %s. %s", *told)
