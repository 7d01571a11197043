"""Pictures of what was found: the reference contour in red, the prediction in green, as the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError

REFERENCE, PREDICTION = (255, 40, 40), (60, 230, 60)


def draw_overlay(
    image: NDArray[np.uint8], *, label: ArrayLike | None = None, pred: ArrayLike | None = None
) -> NDArray[np.uint8]:
    """Draw the contours of a reference and a predicted mask on a picture.

    Args:
        image: grey or RGB picture.
        label: reference mask, drawn in red.
        pred: predicted mask, drawn in green above it.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)`` uint8
        - label, pred: ``(H, W)``

    Returns:
        A new picture ``(H, W, 3)``.

    Raises:
        InputError: when a mask has another size than the picture.

    Source:
        Li et al., ISBI 2021, figure 2.

    Example:
        >>> square = np.zeros((32, 32), bool); square[8:24, 8:24] = True
        >>> picture = draw_overlay(np.zeros((32, 32), np.uint8), pred=square)
        >>> picture[7, 16].tolist(), picture[16, 16].tolist()
        ([60, 230, 60], [0, 0, 0])
    """
    from PIL import Image, ImageDraw
    from skimage.measure import find_contours

    grey = np.asarray(image)
    picture = Image.fromarray(grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2))
    draw = ImageDraw.Draw(picture)
    for name, mask, colour in (("label", label, REFERENCE), ("pred", pred, PREDICTION)):
        if mask is None:
            continue
        inside = np.asarray(mask) > 0
        if inside.shape != grey.shape[:2]:
            raise InputError(name, f"must have the picture's size {grey.shape[:2]}", got=inside.shape)
        for contour in find_contours(np.pad(inside, 1).astype(np.float32), 0.5):
            draw.line([(float(column) - 1, float(row) - 1) for row, column in contour], fill=colour, width=2)
    return np.asarray(picture)


def pick_by_percentile(values: Sequence[float], percentiles: Sequence[float]) -> list[int]:
    """The index of the value at each percentile, 0 being the lowest and 100 the highest.

    Example:
        >>> pick_by_percentile([0.9, 0.1, 0.5, 0.7, 0.3], [0, 50, 100])
        [1, 2, 0]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    return [order[round(percentile / 100 * (len(order) - 1))] for percentile in percentiles]
