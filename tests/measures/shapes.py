"""Masks of plain shapes, for the tests of measures."""

from __future__ import annotations

import numpy as np

EMPTY = np.zeros((48, 64), bool)
SPACINGS = {"pixels": None, "square": (0.08, 0.08), "flat": (0.05, 0.1), "tall": (0.1, 0.03), "very flat": (0.02, 0.1)}


def disc(row, column, radius, shape=EMPTY.shape):
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


def ellipse(a, b, angle, spacing=None, shift=(0.0, 0.0)):
    """Pixels whose centre lies in an ellipse; semi-axes in units of the larger step, angle from the rows' axis."""
    steps = np.ones(2) if spacing is None else np.asarray(spacing)
    a, b = a * steps.max(), b * steps.max()
    size = [int(2 * a / step) + 9 for step in steps]
    rows, columns = np.indices(size)
    down = (rows - size[0] / 2 - shift[0]) * steps[0]
    right = (columns - size[1] / 2 - shift[1]) * steps[1]
    along, across = down * np.cos(angle) + right * np.sin(angle), right * np.cos(angle) - down * np.sin(angle)
    return (along / a) ** 2 + (across / b) ** 2 <= 1, a, b


def blob(seed, size=96):
    """One irregular part, notches included."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radii = 25 + sum(rng.normal(0, 9 / k) * np.sin(k * angles + rng.uniform(0, 6)) for k in range(2, 7))
    down, right = np.mgrid[-size // 2 : size // 2, -size // 2 : size // 2] + rng.uniform(-0.5, 0.5, (2, 1, 1))
    return np.hypot(down, right) < np.interp(np.arctan2(right, down) % (2 * np.pi), angles, np.maximum(radii, 6))


def rectangle(height, width, top=5, left=7, shape=(64, 80)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def shoelace(points):
    following = np.roll(points, -1, axis=0)
    return abs(points[:, 0] @ following[:, 1] - points[:, 1] @ following[:, 0]) / 2
