"""Show a network mirrored pictures too, and average what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Outputs = tuple[Array, Array | None]  # logits, scores
ROWS, COLUMNS = -2, -1
# Axes that are reversed, a tuple for each view.
VIEWS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((),),
    2: ((), (COLUMNS,)),
    4: ((), (COLUMNS,), (ROWS,), (ROWS, COLUMNS)),
}
_SMALLEST = 1e-6  # probability that stays off 0 and 1, whose logits are infinite


def over_views(outputs: Callable[[Array], Outputs], picture: Array, views: int) -> Outputs:
    """Average the probabilities, and the scores, of the mirrored pictures.

    Args:
        outputs: gives logits ``(1, 1, rows, columns)`` and scores or None of the network's input.
        picture: the input, ``(1, 3, rows, columns)``.
        views: 1, 2 (left and right exchanged too) or 4 (top and bottom too). One leaves the outputs as they are.

    Returns:
        Logits of the mean probability, float32, and the mean scores.

    Example:
        >>> picture = np.arange(4.0, dtype=np.float32).reshape(1, 1, 2, 2)
        >>> logits, _ = over_views(lambda seen: (seen, None), picture, 4)
        >>> bool(np.allclose(logits, picture, atol=1e-5))
        True
    """
    if views == 1:
        return outputs(picture)
    probabilities, scores = [], []
    for axes in VIEWS[views]:
        logits, score = outputs(mirrored(picture, axes))
        with np.errstate(over="ignore"):
            probabilities.append(1 / (1 + np.exp(-mirrored(logits, axes).astype(np.float64))))
        if score is not None:
            scores.append(score)
    mean = np.clip(np.mean(probabilities, axis=0), _SMALLEST, 1 - _SMALLEST)
    joined = (np.log(mean) - np.log1p(-mean)).astype(np.float32)
    return joined, np.asarray(np.mean(scores, axis=0, dtype=np.float32)) if scores else None


def mirrored(picture: Array, axes: tuple[int, ...]) -> Array:
    """Reverse some axes of a picture, into memory of its own."""
    return np.ascontiguousarray(np.flip(picture, axes)) if axes else picture
