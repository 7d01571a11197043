"""Pictures of what was found: the reference contour in red, the prediction in green, as the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError

REFERENCE, PREDICTION, BOUND = (255, 40, 40), (60, 230, 60), (120, 170, 255)
BADGES = {"lesion": (60, 230, 60), "doubtful": (255, 190, 40), "nothing found": (170, 170, 170)}


def draw_overlay(
    image: NDArray[np.uint8],
    *,
    label: ArrayLike | None = None,
    pred: ArrayLike | None = None,
    bounds: Sequence[ArrayLike] = (),
    badge: tuple[str, str] | None = None,
    text: str = "",
) -> NDArray[np.uint8]:
    """Draw the contours of a reference and a predicted mask on a picture.

    Args:
        image: grey or RGB picture.
        label: reference mask, drawn in red.
        pred: predicted mask, drawn in green above it.
        text: a line for the lower left corner.
        bounds: masks of the smallest and the largest the lesion may be, drawn in thin blue lines.
        badge: a decision, which gives the colour, and the text to write into the upper left corner.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)`` uint8
        - label, pred, bounds: ``(H, W)``

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
    drawn = [("bounds", each, BOUND, 1) for each in bounds]
    for name, mask, colour, width in (*drawn, ("label", label, REFERENCE, 2), ("pred", pred, PREDICTION, 2)):
        if mask is None:
            continue
        inside = np.asarray(mask) > 0
        if inside.shape != grey.shape[:2]:
            raise InputError(name, f"must have the picture's size {grey.shape[:2]}", got=inside.shape)
        for contour in find_contours(np.pad(inside, 1).astype(np.float32), 0.5):
            draw.line([(float(column) - 1, float(row) - 1) for row, column in contour], fill=colour, width=width)
    if badge is not None:
        _draw_badge(draw, *badge, height=picture.height)
    if text:
        corner = (4, picture.height - 4)
        draw.rectangle(draw.textbbox(corner, text, anchor="lb"), fill=(0, 0, 0))
        draw.text(corner, text, fill=REFERENCE, anchor="lb")
    return np.asarray(picture)


def _draw_badge(draw: Any, decision: str, text: str, *, height: int) -> None:
    from PIL import ImageFont

    font, colour = ImageFont.load_default(size=min(20.0, max(10.0, height / 32))), BADGES[decision]
    left, top, right, bottom = draw.textbbox((6, 5), text, font=font)
    draw.rectangle([left - 4, top - 3, right + 4, bottom + 3], fill=(0, 0, 0), outline=colour)
    draw.text((6, 5), text, fill=colour, font=font)


def pick_by_percentile(values: Sequence[float], percentiles: Sequence[float]) -> list[int]:
    """The index of the value at each percentile, 0 being the lowest and 100 the highest.

    Example:
        >>> pick_by_percentile([0.9, 0.1, 0.5, 0.7, 0.3], [0, 50, 100])
        [1, 2, 0]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    return [order[round(percentile / 100 * (len(order) - 1))] for percentile in percentiles]
