"""Speckle with calipers drawn on it, and a network that leans on them."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_lesion.calipers import Annotations, draw_calipers


def speckle(seed: int = 0, size: tuple[int, int] = (112, 160)) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=size), (1.0, 2.5))
    return (90 + 25 * noise / noise.std()).clip(0, 255).astype(np.uint8)


def leaning(picture: np.ndarray) -> np.ndarray:
    """A network that sees the calipers only: the box around what is light blue."""
    blue = np.ptp(picture, axis=2) > 40
    mask = np.zeros(blue.shape, np.uint8)
    if blue.any():
        rows, columns = np.nonzero(blue)
        mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
    return mask


def centres(found: Annotations) -> set[tuple[int, int]]:
    return {(marker.row, marker.column) for marker in found.markers}


def write_pictures(folder):
    """Four small pictures with their masks, the last without calipers; their entries of a manifest."""
    made = []
    for number in range(4):
        centre, half = (56, 40 + 12 * number), (18, 24)
        rows, columns = np.mgrid[:112, :160]
        mask = ((rows - centre[0]) / half[0]) ** 2 + ((columns - centre[1]) / half[1]) ** 2 <= 1
        picture = np.repeat(speckle(number)[..., None], 3, axis=2)
        ends = [(56, centre[1] - 24), (56, centre[1] + 24), (38, centre[1]), (74, centre[1])]
        if number < 3:
            picture = draw_calipers(picture, ends, dotted=True)
        files = {"image": str(folder / f"image{number}.png"), "label": str(folder / f"mask{number}.png")}
        Image.fromarray(picture).save(files["image"])
        Image.fromarray(mask).save(files["label"])
        made.append({"case_id": str(number // 2), "view": "lr"[number % 2], **files})
    return made


ENDS = [(40, 30), (52, 120), (20, 80), (76, 70)]
