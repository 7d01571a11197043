"""The one interface that every runtime has."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError

PRECISIONS = ("fp32", "bf16", "int8")
Floats = NDArray[np.float32]


class Runtime(ABC):
    """What executes a trained network: pictures in, logits out.

    Args:
        name: such as ``"onnx"``.
        precision: what is used, after any fallback: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        spatial_size: rows and columns that it is built for; None takes any.

    Shape:
        - input: float32 ``(N, 3, H, W)``, RGB in 0-1
        - output: logits, float32 ``(N, 1, H, W)``
    """

    def __init__(self, name: str, precision: str, spatial_size: tuple[int, int] | None = None) -> None:
        self.name = name
        self.precision = precision
        self.spatial_size = spatial_size

    @property
    def label(self) -> str:
        """Name and precision, for tables and DICOM objects."""
        return f"{self.name} {self.precision}"

    def __call__(self, images: Floats) -> Floats:
        """Compute the logits of ``images``.

        Raises:
            InputError: for another type or shape.
        """
        size = self.spatial_size
        wanted = "(N, 3, H, W)" if size is None else f"(N, 3, {size[0]}, {size[1]})"
        got = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}".strip()
        if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.ndim != 4:
            raise InputError("images", f"must be a float32 array {wanted}", got=got)
        if images.shape[1] != 3 or (size is not None and images.shape[2:] != tuple(size)):
            raise InputError("images", f"must be a float32 array {wanted}", got=got)
        return self.run(np.ascontiguousarray(images))

    @abstractmethod
    def run(self, images: Floats) -> Floats:
        """Compute the logits of a checked, contiguous array."""
