"""The bundle's own steps around the network, recognised among MONAI's transforms and computed without them.

::

    uint8 (H, W, 3) -- resize -- 8-bit -- / 255 -- network -- sigmoid -- resize back -- threshold -- clean -- (H, W)

MONAI's transforms carry metadata, copies and an undo list through each step: many times the cost of the arithmetic.
The operations here are the same ones, in the same order and memory layout, so that every pixel is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    FillHolesd,
    Invertd,
    KeepLargestConnectedComponentd,
    LoadImaged,
    Resized,
    Transform,
)
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.pipeline.client import clean
from monai_lesion.pipeline.transforms import (
    DropChannelAxisd,
    RoundToByted,
    ScaleByted,
    Uprightd,
    postprocessing,
    preprocessing,
)
from monai_lesion.runtimes.factories import spatial_size_of

_BEFORE = (LoadImaged, EnsureChannelFirstd, Uprightd, Resized, RoundToByted, ScaleByted)
_AFTER = (Activationsd, Invertd, AsDiscreted, KeepLargestConnectedComponentd, FillHolesd, Uprightd, DropChannelAxisd)


@dataclass(frozen=True)
class Recipe:
    """What the steps around a network must know.

    Attributes:
        spatial_size: rows and columns of the network's input, in pixels.
        threshold: probability from which a pixel is lesion.
    """

    spatial_size: tuple[int, int]
    threshold: float

    def before(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """The network's input, float32 ``(1, 3, rows, columns)`` in 0-1, of a picture ``(H, W, 3)``."""
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()[None]
        return _resize(image, self.spatial_size).round_().clamp_(0, 255) / 255

    def after(self, logits: torch.Tensor, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Mask and probability of ``size``, of logits ``(1, 1, rows, columns)``."""
        probability = _resize(torch.sigmoid(logits), size)[0, 0]
        return clean((probability >= self.threshold).numpy()), probability.numpy()


def _resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(image.shape[2:]) == size:
        return image
    return torch.nn.functional.interpolate(image, size, mode="bilinear")


def recipe_of(preprocess: Compose, postprocess: Compose) -> Recipe:
    """Read a segmenter's transforms.

    Raises:
        InputError: for steps that are not those of the bundle's recipe, or another order than resize first.
    """
    for steps, known in ((preprocess.transforms, _BEFORE), (postprocess.transforms, _AFTER)):
        others = [type(step).__name__ for step in steps if not isinstance(step, known)]
        if others:
            raise InputError(
                "export", "knows the steps of monai_lesion.pipeline.transforms only", got=", ".join(others)
            )
    steps = postprocess.transforms
    cut = next((i for i, step in enumerate(steps) if isinstance(step, AsDiscreted)), len(steps))
    if cut == len(steps) or not any(isinstance(step, Invertd) for step in steps[:cut]):
        raise InputError("export", "resizes the probability before the threshold", got="another order")
    threshold = steps[cut].threshold
    return Recipe(spatial_size_of(preprocess), float(threshold[0] if isinstance(threshold, Sequence) else threshold))


def exact_recipe(preprocess: Compose, postprocess: Compose) -> Recipe | None:
    """The recipe of transforms that are the bundle's step by step and option by option; None for any others."""
    try:
        recipe = recipe_of(preprocess, postprocess)
        before = preprocessing(spatial_size=recipe.spatial_size)
    except InputError:
        return None
    inverted = [step.transform for step in postprocess.transforms if isinstance(step, Invertd)]
    if not _same(before.transforms, preprocess.transforms):
        return None
    if not all(each is preprocess or _same(before.transforms, each.transforms) for each in inverted):
        return None
    afters = (
        postprocessing(before, threshold=recipe.threshold, drop_channel=dropped, upright=upright)
        for dropped, upright in ((True, False), (False, False), (False, True))
    )
    # The class ends upright whatever the last steps do; the mask above them is the same.
    return recipe if any(_same(after.transforms, postprocess.transforms) for after in afters) else None


def _same(first: Any, second: Any) -> bool:
    """Whether two transforms, or lists of them, have the same classes and options."""
    if isinstance(first, (list, tuple)):
        pairs = isinstance(second, (list, tuple)) and len(first) == len(second)
        return pairs and all(_same(one, other) for one, other in zip(first, second, strict=True))
    if isinstance(first, Transform) and not isinstance(first, Compose):
        if type(first) is not type(second):
            return False
        if isinstance(first, LoadImaged):  # pictures come read already
            return bool(first.keys == second.keys)
        return vars(first).keys() == vars(second).keys() and all(
            _same(value, vars(second)[name]) for name, value in vars(first).items()
        )
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(map(_same, first.values(), second.values()))
        )
    if first is None or isinstance(first, (bool, int, float, str, Enum, type, torch.dtype)):
        return bool(first == second)
    return True  # MONAI's own machinery: compositions that are compared apart, tables of functions
