"""How little each small patch of a picture looks like its speckle: writing and markers stand out.

Whatever a scanner burns in is drawn pixel by pixel; echoes have passed a band-limited system, which smears them across
the beam. The distance of Mahalanobis from the picture's own patches tells one from the other without knowing the
scanner, the brightness or the font. In remote sensing this is the anomaly detector of Reed and Xiaoli.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SAMPLES = 4000
SOFT = 30.0  # grey levels times pixels, added to a patch's norm: flat patches are rounding, not speckle


def patches_of(picture: NDArray[Any], reach: int) -> Floats:
    """A view of every patch of ``2 * reach + 1`` pixels a side; the picture goes on beyond its border as a mirror.

    Shape:
        - picture: ``(H, W)``
        - output: ``(H, W, side, side)``
    """
    side = 2 * reach + 1
    padded = np.pad(picture.astype(np.float32), reach, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))


def whitener(patches: Floats, *, ridge: float) -> Floats:
    """The matrix that makes this picture's patches white: the inverse Cholesky factor of their covariance.

    Args:
        patches: result of :func:`patches_of`.
        ridge: share of the mean eigenvalue that is added to each, against directions that are hardly there.

    Shape:
        - output: ``(side * side, side * side)``
    """
    from scipy.linalg import solve_triangular

    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, size, SAMPLES) for size in patches.shape[:2])
    sample = centred(patches[rows, columns])
    sample /= np.linalg.norm(sample, axis=1, keepdims=True) + SOFT  # no bright patch may outweigh the rest
    covariance = sample.T @ sample / SAMPLES
    size = len(covariance)
    identity = np.eye(size, dtype=np.float32)
    lower = np.linalg.cholesky(covariance + (ridge * float(np.trace(covariance)) / size + 1e-8) * identity)
    return np.asarray(solve_triangular(lower, identity, lower=True), np.float32)


def centred(patches: Floats) -> Floats:
    """The patches as rows, each less its mean."""
    flat = patches.reshape(len(patches), -1)
    return np.asarray(flat - flat.mean(axis=1, keepdims=True))


def anomaly_map(picture: NDArray[Any], *, reach: int = 2) -> Floats:
    """Distance of each pixel's patch from the picture's speckle, as a multiple of the median distance.

    Args:
        picture: grey levels.
        reach: pixels from the centre to the border of a patch.

    Shape:
        - picture, output: ``(H, W)``

    Example:
        >>> from scipy.ndimage import gaussian_filter
        >>> speckle = gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 2) * 300 + 90
        >>> speckle[30, 10:13] = 255
        >>> bool(anomaly_map(speckle)[30, 11] > 3)
        True
    """
    patches = patches_of(picture, reach)
    rows = centred(patches.reshape(-1, *patches.shape[2:]))
    length = np.linalg.norm(rows, axis=1)
    distance = np.square(rows @ whitener(patches, ridge=0.003).T).sum(axis=1)
    level = np.sqrt(distance / (SOFT * (length + SOFT)))  # grows with contrast, more slowly than it
    textured = level[length > SOFT]
    usual = float(np.median(textured)) if len(textured) else 1.0
    return np.asarray(level.reshape(picture.shape) / usual, np.float32)
