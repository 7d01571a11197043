"""Draw the pictures of a report: the same cases across networks, like the paper's figure 2, and the worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_lesion.images.overlays import draw_overlay, pick_by_percentile
from monai_lesion.images.reading import read_image, read_mask, read_masks

if TYPE_CHECKING:
    from monai_lesion.report.studies import StudyRecords, TrialRecord

PERCENTILES = (5, 25, 50, 75, 95)
WORST = 20
WIDTH = 480  # of a picture on the page, in pixels


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Args:
        jpeg: content of the JPEG file.
        caption: text below the picture.
    """

    jpeg: bytes
    caption: str


def mean_dice(networks: Mapping[str, Sequence[TrialRecord]]) -> list[float]:
    """Average the Dice of every image over networks and seeds; 1 or 0 without a lesion, as in the tables."""
    scores = [[[row["dice"] for row in trial.images] for trial in trials] for trials in networks.values()]
    return [float(value) for value in np.mean([np.mean(seeds, axis=0) for seeds in scores], axis=0)]


def has_pictures(study: StudyRecords) -> bool:
    """Whether images, labels and masks are available; kept records have none."""
    trials = [trial for tested in study.compared().values() for trial in tested[:1]]
    files = [path for t in trials for path in (t.image(0), *t.labels(0), t.mask(0))]
    return all(path.is_file() for path in files)


def same_cases(study: StudyRecords) -> list[list[Picture]]:
    """Draw the same images across networks, one row each, picked by percentile of their mean Dice.

    Source:
        Li et al., ISBI 2021, figure 2.
    """
    networks = study.compared()
    scores = mean_dice(networks)
    rows = []
    for number in dict.fromkeys(pick_by_percentile(scores, PERCENTILES)):
        first = next(iter(networks.values()))[0]
        row = [Picture(_overlay(first, number, prediction=False), f"{_name(first, number)}: reference")]
        for entry, trials in networks.items():
            row.append(Picture(_overlay(trials[0], number), f"{entry}: {_score(trials[0], number)}"))
        rows.append(row)
    return rows


def worst_images(study: StudyRecords, reference: str, count: int = WORST) -> list[Picture]:
    """Draw the images with the lowest mean Dice over all networks and seeds, with the contours of one network.

    Args:
        study: a study whose pictures are available.
        reference: network whose contours are drawn.
        count: number of images.
    """
    networks = study.compared()
    scores = mean_dice(networks)
    chosen = networks[reference][0]
    pictures = []
    for rank, number in enumerate(sorted(range(len(scores)), key=scores.__getitem__)[:count], start=1):
        missed = sum(t.images[number]["missed"] for trials in networks.values() for t in trials)
        total = sum(len(trials) for trials in networks.values())
        told = f", missed by {missed} of {total} trainings" if missed else ""
        mean = f"mean Dice {scores[number]:.3f}{told}"
        caption = f"{rank}. {_name(chosen, number)}: {mean}; {reference}: {_score(chosen, number)}"
        pictures.append(Picture(_overlay(chosen, number), caption))
    return pictures


def _name(trial: TrialRecord, number: int) -> str:
    row = trial.images[number]
    return f"case {row['case_id']} {row.get('view', '')}".strip()


def _score(trial: TrialRecord, number: int) -> str:
    row = trial.images[number]
    return f"Dice {row['dice']:.3f}" + (", missed" if row["missed"] else "")


def _overlay(trial: TrialRecord, number: int, *, prediction: bool = True) -> bytes:
    pixels = read_image(trial.image(number), frame=0).pixels
    files = trial.labels(number)
    label = read_masks(files) if files else np.zeros(pixels.shape[:2], bool)
    pred = read_mask(trial.mask(number)) if prediction else None
    return jpeg(draw_overlay(pixels, label=label, pred=pred))


def jpeg(pixels: Any) -> bytes:
    """A picture ``(H, W, 3)`` as the content of a JPEG file, no wider than a page shows it."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
