"""Training pictures with their calipers taken away or put elsewhere, so that a network cannot lean on them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from monai_lesion.calipers.detection import find_annotations
from monai_lesion.calipers.markers import Pixels, draw_calipers
from monai_lesion.calipers.removal import annotation_mask, inpaint, move, shift_elsewhere

CLEAN = "without_calipers"  # key of the picture without its calipers, between the two transforms
MARKERS = ("plus", "x")
LEAST = 48  # pixels of the shorter side from which crosses are drawn


class FindCalipersd(MapTransform):
    """Put a copy of the upright picture without its calipers beside it; nothing random, so that a cache keeps it.

    Args:
        keys: the picture, ``(3, H, W)`` in 0-255 at its original size, for the detector knows the sizes of markers.
        clean: key of the copy.
    """

    def __init__(self, keys: str = "image", *, clean: str = CLEAN) -> None:
        super().__init__(keys)
        self.clean = clean

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the copy."""
        items = dict(data)
        for key in self.key_iterator(items):
            image = items[key]
            pixels = _picture(image.round().clamp(0, 255).to(torch.uint8))
            removed = inpaint(pixels, annotation_mask(pixels, find_annotations(pixels)))
            copy = torch.from_numpy(removed.transpose(2, 0, 1).copy()).to(image.dtype)
            items[self.clean] = MetaTensor(copy, meta=dict(image.meta)) if isinstance(image, MetaTensor) else copy
        return items


class RandCalipersd(RandomizableTransform, MapTransform):
    """With a probability, take the calipers away or put them elsewhere, each half the time; drop the copy.

    ::

        -- as it is (1 - prob) -- without calipers (prob / 2) -- calipers elsewhere (prob / 2) --

    A picture that has none gets four crosses at random for the last. This stands after the resize: the markers are
    those of the resized picture.

    Args:
        keys: the picture, ``(3, H, W)`` uint8.
        prob: probability of a change.
        clean: key that :class:`FindCalipersd` wrote.
    """

    def __init__(self, keys: str = "image", *, prob: float = 0.5, clean: str = CLEAN) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.clean = clean

    def randomize(self, data: Any = None) -> None:
        """Draw whether to change, what to do, and the seed of where to."""
        super().randomize(None)
        self._elsewhere = bool(self.R.rand() < 0.5)
        self._seed = int(self.R.randint(2**31 - 1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change the picture or leave it."""
        items = dict(data)
        self.randomize()
        clean = items.pop(self.clean)
        for key in self.key_iterator(items):
            if self._do_transform:
                image = items[key]
                pixels = clean if not self._elsewhere else self._put_elsewhere(image, clean)
                items[key] = image.clone()
                items[key][:] = torch.as_tensor(pixels)
        return items

    def _put_elsewhere(self, image: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        rng = np.random.default_rng(self._seed)
        first, second = _picture(image), _picture(clean)
        mask = (first != second).any(axis=2)
        placed = move(first, second, shift_elsewhere(mask, rng)) if mask.any() else _crosses(second, rng)
        return torch.from_numpy(placed.transpose(2, 0, 1).copy())


def _picture(image: torch.Tensor) -> Pixels:
    """``(3, H, W)`` as ``(H, W, 3)``."""
    return np.ascontiguousarray(torch.as_tensor(image).numpy().transpose(1, 2, 0))


def _crosses(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture with the four crosses of two measurements across a random ellipse, dotted half the time."""
    rows, columns = picture.shape[:2]
    if min(rows, columns) < LEAST:
        return picture
    half = rng.uniform(0.08, 0.25, 2) * (rows, columns)
    centre = rng.uniform(half + 8, np.array([rows, columns]) - half - 8)
    across, down = np.array([0, half[1]]), np.array([half[0], 0])
    ends = [centre - across, centre + across, centre - down, centre + down]
    return draw_calipers(
        picture,
        [(round(float(row)), round(float(column))) for row, column in ends],
        kind=str(rng.choice(MARKERS)),
        arm=int(rng.integers(3, 6)),
        dotted=bool(rng.uniform() < 0.5),
        colour=None if rng.uniform() < 0.5 else int(rng.integers(180, 256)),
    )
