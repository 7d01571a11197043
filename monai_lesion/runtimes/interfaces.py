"""The interface that all runtimes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError

PRECISIONS = ("fp32", "bf16", "int8")
Floats = NDArray[np.float32]


class Outputs(NamedTuple):
    """What a network computes from some pictures.

    Args:
        logits: float32 ``(N, 1, H, W)``.
        scores: float32 ``(N, S)``, from a network with :class:`monai_lesion.networks.TrustHeads`; None from any other.
    """

    logits: Floats
    scores: Floats | None = None


class Runtime(ABC):
    """Run a trained network: pictures in, logits out.

    Args:
        name: name of the runtime, such as ``"onnx"``.
        precision: the precision in use, after any fallback: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        input_size: rows and columns that the model takes; None for any.

    Shape:
        - input: float32 ``(N, 3, H, W)``, RGB in 0-1
        - output: logits, float32 ``(N, 1, H, W)``
    """

    def __init__(self, name: str, precision: str, input_size: tuple[int, int] | None = None) -> None:
        self.name = name
        self.precision = precision
        self.input_size = input_size

    @property
    def label(self) -> str:
        """Name and precision, for tables and results."""
        return f"{self.name} {self.precision}"

    def __call__(self, images: Floats) -> Floats:
        """Compute the logits of ``images``.

        Raises:
            InputError: for another type or shape.
        """
        return self.outputs(images).logits

    def outputs(self, images: Floats) -> Outputs:
        """Compute the logits of ``images``, and the scores if the network has any.

        Raises:
            InputError: for another type or shape.
        """
        size = self.input_size
        wanted = "(N, 3, H, W)" if size is None else f"(N, 3, {size[0]}, {size[1]})"
        got = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}".strip()
        if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.ndim != 4:
            raise InputError("images", f"must be a float32 array {wanted}", got=got)
        if images.shape[1] != 3 or (size is not None and images.shape[2:] != tuple(size)):
            raise InputError("images", f"must be a float32 array {wanted}", got=got)
        return self.run(np.ascontiguousarray(images))

    @abstractmethod
    def run(self, images: Floats) -> Outputs:
        """Compute the outputs of a checked, contiguous array."""


def joined(each: list[Outputs], images: Floats) -> Outputs:
    """Join the outputs of pictures that were run one by one."""
    if not each:
        return Outputs(np.empty((0, 1, *images.shape[2:]), np.float32))
    scores = [outputs.scores for outputs in each if outputs.scores is not None]
    return Outputs(np.concatenate([outputs.logits for outputs in each]), np.concatenate(scores) if scores else None)
