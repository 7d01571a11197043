"""Remove calipers from a picture by inpainting, or move them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.calipers.anomalies import anomaly_map
from monai_lesion.calipers.detection import CHROMA, Annotations, coloured_strokes, find_annotations, grey
from monai_lesion.calipers.markers import Pixels, checked_picture, cross, plus, stamp
from monai_lesion.machine.threads import one_blas_thread

Mask = NDArray[np.bool_]

LABEL = 16  # pixels beyond a marker's arm in which its number or letter stands
SHARP = 20  # grey levels by which a stroke stands out of what is around it
UNUSUAL = 1.8  # of the median anomaly, smoothed over a stroke


@one_blas_thread
def annotation_mask(image: NDArray[Any], annotations: Annotations, *, text: bool = False) -> Mask:
    """Find the pixels of calipers, their numbers, dotted lines and, on request, text, with a rim of one pixel.

    Args:
        image: 8-bit.
        annotations: what was found in it.
        text: whether to include lines of text.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``
        - output: ``(H, W)``
    """
    from scipy.ndimage import binary_dilation, uniform_filter

    picture = checked_picture(image)
    mask = np.zeros(picture.shape[:2], dtype=bool)
    if not annotations.markers and not (text and annotations.texts):
        return mask
    shade = grey(picture)
    chroma = coloured_strokes(picture)
    written = _thin(shade) & (uniform_filter(anomaly_map(shade), 5) > UNUSUAL)
    strokes = written if chroma is None else chroma >= CHROMA / 2
    for marker in annotations.markers:
        around = _around(marker.row, marker.column, marker.arm + LABEL, mask.shape)
        mask[around] |= strokes[around]
        shape = {"plus": plus(marker.arm), "x": cross(marker.arm)}.get(marker.kind, np.ones((11, 11), dtype=bool))
        stamp(mask, shape, marker.row, marker.column, True)  # type: ignore[arg-type]
    for line in annotations.lines:
        steps = int(np.hypot(line.end[0] - line.start[0], line.end[1] - line.start[1])) * 2 + 1
        points = np.rint(np.linspace(line.start, line.end, steps)).astype(np.int64)
        mask[points[:, 0], points[:, 1]] = True
    for box in annotations.texts if text else ():
        mask[box.slices] |= written[box.slices]
    return np.asarray(binary_dilation(mask, np.ones((3, 3), dtype=bool)))


def _thin(shade: Pixels) -> Mask:
    """Pixels that a thin structure lifts out of their surroundings, brighter or darker."""
    from scipy.ndimage import grey_closing, grey_opening

    levels = shade.astype(np.int16)
    bright, dark = levels - grey_opening(levels, (5, 5)), grey_closing(levels, (5, 5)) - levels
    return np.asarray((bright > SHARP) | (dark > SHARP))


def _around(row: int, column: int, reach: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    return slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)


def inpaint(image: NDArray[Any], mask: Mask) -> Pixels:
    """Fill in the masked pixels of a picture smoothly from around them (biharmonic, scikit-image).

    Args:
        image: 8-bit.
        mask: pixels to fill.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``; the result is alike
        - mask: ``(H, W)``
    """
    from skimage.restoration import inpaint_biharmonic

    picture = checked_picture(image)
    if not mask.any():
        return picture.copy()
    rest = picture[~mask]
    if picture.ndim == 3 and (rest == rest[:, :1]).all():  # grey but for the annotations
        return np.repeat(inpaint(picture[..., 0], mask)[..., None], 3, axis=2)
    filled = inpaint_biharmonic(picture / 255, mask, channel_axis=-1 if picture.ndim == 3 else None)
    result = np.where(mask[..., None] if picture.ndim == 3 else mask, filled * 255 + 0.5, picture)
    return np.asarray(result.clip(0, 255).astype(np.uint8))


def remove_calipers(image: NDArray[Any], annotations: Annotations | None = None, *, text: bool = False) -> Pixels:
    """Copy a picture without its calipers, their numbers and dotted lines.

    Args:
        image: 8-bit.
        annotations: what to remove; None finds it.
        text: whether to remove lines of text too.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``; the result is alike

    Raises:
        InputError: for another shape or type.

    Example:
        >>> from monai_lesion.calipers import draw_calipers
        >>> tissue = np.full((64, 96), 80, np.uint8)
        >>> drawn = draw_calipers(tissue, [(30, 20), (34, 70)])
        >>> bool((drawn == 255).any()), bool((remove_calipers(drawn) == 80).all())
        (True, True)
    """
    found = find_annotations(image) if annotations is None else annotations
    return inpaint(image, annotation_mask(image, found, text=text))


def move(image: NDArray[Any], removed: NDArray[Any], shift: tuple[int, int]) -> Pixels:
    """Add what was removed from a picture again in another place.

    Args:
        image: with calipers.
        removed: the same without them.
        shift: rows and columns; what leaves the picture is lost.

    Shape:
        - image, removed, output: ``(H, W)`` or ``(H, W, 3)``
    """
    strokes = image.astype(np.int16) - removed
    return np.asarray((removed + shifted(strokes, shift)).clip(0, 255).astype(np.uint8))


def shifted(array: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    """A copy moved by rows and columns; zeros or False come in from outside."""
    moved = np.zeros_like(array)
    source, target = [], []
    for step, size in zip(shift, array.shape[:2], strict=True):
        source.append(slice(max(0, -step), min(size, size - step)))
        target.append(slice(max(0, step), min(size, size + step)))
    moved[tuple(target)] = array[tuple(source)]
    return moved


def shift_elsewhere(mask: Mask, rng: np.random.Generator, *, margin: int = 4, draws: int = 64) -> tuple[int, int]:
    """Choose a random shift that keeps a mask in its picture and moves its box as far as there is room.

    Args:
        mask: pixels to move, not empty.
        rng: draws the candidates.
        margin: pixels kept free at the border, where there is room.
        draws: candidates; of those that leave the least of the old box covered, the first is taken.

    Returns:
        Rows and columns; (0, 0) only where the mask fills the picture.
    """
    limits, extents = [], []
    for axis, size in enumerate(mask.shape):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        first, last = int(used[0]), int(used[-1])
        limits.append((min(margin - first, 0), max(size - 1 - margin - last, 0)))
        extents.append(last - first + 1)
    candidates = np.stack([rng.integers(low, high, draws, endpoint=True) for low, high in limits], axis=1)
    covered = np.maximum(np.array(extents) - np.abs(candidates), 0).prod(axis=1)
    best = candidates[covered.argmin()]
    return int(best[0]), int(best[1])
