"""Whether an exported model segments as the library does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import dice

Found = tuple[NDArray[Any], NDArray[Any]]  # mask and probability
PROBABILITY = (
    0.01  # largest difference of an fp32 model's probabilities; a grey level that rounds the other way is 0.001
)
SEED = 20211  # of the simulated cases
INT8_AGREEMENT = 0.95  # mean Dice of an int8 model's masks with the library's


@dataclass(frozen=True)
class Pictures:
    """Pictures to compare on, read one at a time.

    Args:
        name: which they are, for the report.
        read: reads them.
    """

    name: str
    read: Callable[[], Iterator[Picture]]


@dataclass(frozen=True)
class Picture:
    """A picture with its true mask."""

    pixels: NDArray[np.uint8]
    label: NDArray[np.bool_]


@dataclass(frozen=True)
class Parity:
    """How an exported model compares with PyTorch, over some pictures.

    Args:
        pictures: which.
        images: how many.
        mean_dice_with_library: mean Dice of the two masks, 1 where both are empty.
        min_dice_with_library: the worst.
        max_probability_difference: over all pixels.
        mean_dice_library: mean Dice of the library's masks with the true ones.
        mean_dice_exported: mean Dice of the model's masks with the true ones.
        dice_tolerance: how much Dice may be lost: for an fp32 model in ``mean_dice_with_library``, of an int8 model in
            ``mean_dice_exported`` against ``mean_dice_library``.
    """

    pictures: str
    images: int
    mean_dice_with_library: float
    min_dice_with_library: float
    max_probability_difference: float
    mean_dice_library: float
    mean_dice_exported: float
    dice_tolerance: float

    def faults(self, precision: str) -> list[str]:
        """What is outside the tolerance, in words."""
        found = []
        if precision == "int8":
            drop = self.mean_dice_library - self.mean_dice_exported
            if drop > self.dice_tolerance:
                found.append(f"the mean Dice falls by {drop:.4f}, more than {self.dice_tolerance}")
            if self.mean_dice_with_library < INT8_AGREEMENT:
                found.append(f"its masks have a mean Dice of {self.mean_dice_with_library:.4f} with the library's")
            return found
        if 1 - self.mean_dice_with_library > self.dice_tolerance:
            found.append(f"its masks have a mean Dice of {self.mean_dice_with_library:.4f} with the library's")
        if self.max_probability_difference > PROBABILITY:
            found.append(f"its probabilities differ by up to {self.max_probability_difference:.4f}")
        return found

    def to_dict(self, precision: str) -> dict[str, Any]:
        """The report, as ``parity.json`` holds it."""
        return {**asdict(self), "passed": not self.faults(precision)}


def compare(
    library: Callable[[NDArray[np.uint8]], Found],
    exported: Callable[[NDArray[np.uint8]], Found],
    pictures: Pictures,
    *,
    dice_tolerance: float,
) -> Parity:
    """Segment each picture in both ways.

    Args:
        library: gives mask and probability of a uint8 picture ``(H, W, 3)``.
        exported: the same.
        pictures: at least one.
        dice_tolerance: see :class:`Parity`.
    """
    between, own, theirs, difference = [], [], [], 0.0
    for picture in pictures.read():
        (mask, probability), (other, other_probability) = library(picture.pixels), exported(picture.pixels)
        between.append(dice(mask > 0, other > 0))
        own.append(dice(mask > 0, picture.label))
        theirs.append(dice(other > 0, picture.label))
        difference = max(difference, float(np.abs(probability - other_probability).max()))
    means = [round(float(np.mean(scores)), 6) for scores in (between, own, theirs)]
    worst = round(min(between), 6)
    return Parity(pictures.name, len(between), means[0], worst, difference, means[1], means[2], dice_tolerance)


def simulated(cases: int) -> Pictures:
    """Both views of simulated cases, of a seed that nothing is trained on by default.

    Raises:
        InputError: for fewer than one.
    """
    if cases < 1:
        raise InputError("cases", "must be at least 1", got=cases)

    def read() -> Iterator[Picture]:
        from monai_lesion.phantoms.cases import simulate_case

        for case in range(cases):
            for view in simulate_case(SEED, case).views:
                yield Picture(view.pixels, view.mask)

    return Pictures(f"{cases} simulated cases", read)


def of_manifest(manifest: str | Path, dataset_dir: str | Path | None = None, *, split: str = "test") -> Pictures:
    """The pictures of a split of a manifest.

    Raises:
        ManifestError: when the manifest breaks a rule, or the split is empty.
    """
    from monai_lesion.datasets.manifests import load_manifest

    loaded = load_manifest(manifest, dataset_dir, splits=(split,))
    entries = loaded.entries(split)

    def read() -> Iterator[Picture]:
        from monai_lesion.datasets.manifests import read_label
        from monai_lesion.images.reading import read_image

        for entry in entries:
            yield Picture(read_image(entry["image"]).pixels, read_label(entry))

    return Pictures(f"{loaded.name}, {split} split", read)
