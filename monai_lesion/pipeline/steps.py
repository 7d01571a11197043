"""The steps before and after a network, with the values that a model folder carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.pipeline.operations import after, before

SIZES = (16, 4096)  # pixels of the network's input, smallest and largest
CHOICES = {
    "keep": ("largest", "all"),
    "order": ("resize_first", "threshold_first"),
    "channel_order": ("rgb", "bgr"),
}


def check_choice(name: str, value: Any) -> None:
    """Check that ``keep``, ``order`` or ``channel_order`` has one of its values.

    Raises:
        InputError: when it does not.
    """
    if value not in CHOICES[name]:
        choices = " or ".join(f'"{choice}"' for choice in CHOICES[name])
        raise InputError(name, f"must be {choices}", got=value)


@dataclass(frozen=True)
class Steps:
    """Everything that decides a mask, apart from the network.

    ::

        uint8 (H, W, 3) -- before -- network -- after -- mask and probability (H, W)

    Args:
        input_size: rows and columns of the network's input, in pixels.
        threshold: probability from which a pixel is lesion.
        keep: ``"largest"`` component, the paper's, or ``"all"``.
        order: ``"resize_first"`` resizes the probability and then thresholds; ``"threshold_first"`` the other way.
        channel_order: colour order that the network takes; ``"bgr"`` for the checkpoints that the paper's authors
            released. Whatever runs a network takes RGB: the channels are swapped in front of the network, never here.

    Raises:
        InputError: for a value out of range.

    Example:
        >>> steps = Steps(input_size=(32, 48), threshold=0.4)
        >>> steps.before(np.zeros((100, 150, 3), np.uint8)).shape
        (1, 3, 32, 48)
    """

    input_size: tuple[int, int] = (256, 256)
    threshold: float = 0.5
    keep: str = "largest"
    order: str = "resize_first"
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        size, (least, most) = self.input_size, SIZES
        whole = isinstance(size, (list, tuple)) and all(type(side) is int for side in size)
        if not whole or len(size) != 2 or not all(least <= side <= most for side in size):
            raise InputError("input_size", f"must be two whole numbers from {least} to {most} pixels", got=repr(size))
        object.__setattr__(self, "input_size", tuple(size))
        number = isinstance(self.threshold, (int, float)) and not isinstance(self.threshold, bool)
        if not number or not math.isfinite(self.threshold) or not 0 < self.threshold < 1:
            raise InputError("threshold", "must be a number between 0 and 1", got=repr(self.threshold))
        for name in CHOICES:
            check_choice(name, getattr(self, name))

    def before(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn a picture ``(H, W, 3)`` into the network's input, RGB float32 ``(1, 3, rows, columns)`` in 0-1."""
        return before(pixels, self.input_size)

    def after(
        self, logits: NDArray[np.float32], size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Turn logits ``(1, 1, rows, columns)`` into mask and probability of ``size``."""
        return after(logits, size, threshold=self.threshold, keep=self.keep, order=self.order)

    def to_dict(self) -> dict[str, Any]:
        """The steps as ``model.json`` holds them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "input_size": list(self.input_size)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Steps:
        """Read the steps from a mapping that has all of them; other keys are ignored.

        Raises:
            InputError: when a step is missing or out of range.
        """
        names = [each.name for each in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise InputError(missing[0], "must be given", got="nothing")
        return cls(**{name: content[name] for name in names})
