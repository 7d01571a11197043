"""How much a network leans on the calipers: the same pictures with them, without them and with them elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_lesion.calipers.detection import Annotations, find_annotations
from monai_lesion.calipers.markers import Pixels
from monai_lesion.calipers.removal import annotation_mask, inpaint, move, shift_elsewhere, shifted
from monai_lesion.datasets.manifests import read_label
from monai_lesion.errors import InputError
from monai_lesion.images.reading import read_image
from monai_lesion.measures.metrics import score_image
from monai_lesion.measures.statistics import bootstrap_interval, holm, paired_test

MEASURES = ("dice", "hd95")
VARIANTS = {
    "original": "as the scanner stored it",
    "removed": "calipers, their numbers and dotted lines inpainted",
    "moved": "the same strokes added elsewhere",
    "control": "calipers kept; as many pixels inpainted elsewhere",
}

Segment = Callable[[Pixels], NDArray[Any]]
Record = dict[str, Any]


class Variants(NamedTuple):
    """The pictures that are compared, and how far the calipers were moved."""

    pictures: dict[str, Pixels]
    shift: tuple[int, int]


class Difference(NamedTuple):
    """A variant less the original, over the images that have both; intervals by bootstrap over cases."""

    images: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float


def variants(image: Pixels, annotations: Annotations, rng: np.random.Generator) -> Variants:
    """The picture as it is, without its calipers, with them elsewhere, and with an inpainted patch as a control.

    Args:
        image: 8-bit, with the calipers of ``annotations``.
        annotations: at least one marker.
        rng: chooses the place where the calipers go.

    Shape:
        - image: ``(H, W, 3)``
    """
    mask = annotation_mask(image, annotations)
    removed = inpaint(image, mask)
    shift = shift_elsewhere(mask, rng)
    pictures = {
        "original": image,
        "removed": removed,
        "moved": move(image, removed, shift),
        "control": inpaint(image, shifted(mask, shift) & ~mask),
    }
    return Variants(pictures, shift)


def compare_images(
    segment: Segment,
    entries: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[Record]:
    """Segment every variant of every image and score it at the image's own size.

    Args:
        segment: gives the mask ``(H, W)`` of a picture ``(H, W, 3)``.
        entries: entries of a manifest, with absolute paths.
        seed: random seed for the places where calipers go; an image's place does not depend on the other images.
        progress: wraps the entries, as tqdm does.

    Returns:
        For each image and variant ``case_id``, ``view``, ``image`` (file name), ``markers`` (how many were found),
        ``moved_rows``, ``moved_columns``, ``variant`` and what
        :func:`~monai_lesion.measures.metrics.score_image` gives.
        An image in which no calipers are found has the original only.
    """
    records: list[Record] = []
    for entry in progress(entries):
        image, label = read_image(entry["image"], frame=entry.get("frame")).pixels, read_label(entry)
        found = find_annotations(image)
        made = Variants({"original": image}, (0, 0))
        if found:
            own = zlib.crc32(Path(entry["image"]).name.encode())
            made = variants(image, found, np.random.default_rng([seed, own]))
        for name, picture in made.pictures.items():
            records.append(
                {
                    "case_id": entry["case_id"],
                    "view": entry["view"],
                    "image": Path(entry["image"]).name,
                    "markers": len(found.markers),
                    "moved_rows": made.shift[0],
                    "moved_columns": made.shift[1],
                    "variant": name,
                    **score_image(segment(picture) > 0, label),
                }
            )
    return records


def differences(records: Sequence[Record]) -> dict[str, dict[str, Difference]]:
    """Each measure of each variant less the original's, image by image, with Wilcoxon's signed-rank test.

    Images without calipers are left out. The p-values are corrected together after Holm.

    Raises:
        InputError: when no image has calipers.
    """
    with_calipers = [record for record in records if record["markers"]]
    if not with_calipers:
        raise InputError("the images", "must have calipers in at least one of them", got="none found")
    originals = {record["image"]: record for record in with_calipers if record["variant"] == "original"}
    names = [name for name in VARIANTS if name != "original"]
    tests, intervals = [], []
    for name, measure in product(names, MEASURES):
        own = [record for record in with_calipers if record["variant"] == name]
        change = np.array([record[measure] - originals[record["image"]][measure] for record in own], np.float64)
        tests.append(paired_test(change))
        intervals.append(bootstrap_interval(change[None], [str(record["case_id"]) for record in own]))
    corrected = holm([test.p for test in tests])
    table: dict[str, dict[str, Difference]] = {name: {} for name in names}
    for (name, measure), test, interval, p in zip(product(names, MEASURES), tests, intervals, corrected, strict=True):
        table[name][measure] = Difference(test.pairs, test.mean, *interval, test.p, p)
    return table
