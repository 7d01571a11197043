"""Simulate echo strength (dB) and loss (dB/mm) of tissue, lesions and dark structures that are not lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_lesion.phantoms.scanners import Scanner

Floats = NDArray[np.float32]
Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """Where the picture shows tissue, and how deep each pixel lies.

    Args:
        size: rows and columns.
        spacing: mm per pixel.
        top, left, right: first row at the middle, first and last column.
        depth_mm: from the top to the last row.
        curved: whether the transducer is convex.
        depth: ``(H, W)`` mm below the transducer, negative above it.
        inside: ``(H, W)`` bool.
    """

    size: tuple[int, int]
    spacing: float
    top: int
    left: int
    right: int
    depth_mm: float
    curved: bool
    depth: Floats
    inside: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: Random, size: tuple[int, int], spacing: float, scanner: Scanner) -> FieldOfView:
        """Draw random margins for one picture."""
        rows, columns = size
        top, bottom = int(rng.integers(0, 14)), rows - int(rng.integers(0, 14))
        left, right = (int(margin) for margin in rng.integers(0, 60, size=2) * (rng.uniform() < 0.6))
        right = columns - 1 - right
        down = np.arange(rows, dtype=np.float32)[:, None]
        across = np.arange(columns, dtype=np.float32)[None]
        if scanner.curved:
            left, right = 0, columns - 1
            middle, radius = columns / 2, float(rng.uniform(500, 800))
            below, beside = down - top + radius, across - middle
            depth = np.hypot(below, beside) - radius
            half = rng.uniform(0.9, 1.1) * 290 / radius
            inside = (depth >= 0) & (np.abs(beside) <= np.tan(half) * below) & (depth < bottom - top)
        else:
            depth = np.broadcast_to(down - top, size)
            inside = (down >= top) & (down < bottom) & (across >= left) & (across <= right)
        depth_mm = (bottom - top) * spacing
        return cls(
            size, spacing, top, left, right, depth_mm, scanner.curved, (depth * spacing).astype(np.float32), inside
        )


def _noise(rng: Random, field: FieldOfView, rows_mm: float, columns_mm: float) -> Floats:
    """Make smooth noise of unit variance whose cells measure rows_mm by columns_mm."""
    from PIL import Image

    rows, columns = field.size
    cells = max(int(rows * field.spacing / rows_mm), 1) + 3, max(int(columns * field.spacing / columns_mm), 1) + 3
    coarse = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    # A random part of the last cell is cut off, or every picture would have its cells in the same places.
    cut = rng.uniform(0, 1, size=2)
    box = (cut[1], cut[0], cut[1] + cells[1] - 2, cut[0] + cells[0] - 2)
    fine = np.asarray(coarse.resize((columns, rows), Image.Resampling.BICUBIC, box=box))
    return np.asarray(fine * np.float32(1.4))


def _line(rng: Random, field: FieldOfView, length_mm: float) -> Floats:
    """Make smooth noise of unit variance along a row."""
    from scipy.ndimage import gaussian_filter1d

    line = gaussian_filter1d(rng.standard_normal(field.size[1]), length_mm / field.spacing)
    return np.asarray(line / (line.std() + 1e-6), np.float32)


def _ridge(distance: Floats, width: float) -> Floats:
    """Fall from 1 at distance 0 to 0 within a few widths; cheaper than a Gaussian."""
    return np.asarray(np.square(np.maximum(1 - np.square(distance * np.float32(0.5 / width)), 0)))


def layered_tissue(rng: Random, field: FieldOfView, anatomy: Sequence[float]) -> tuple[Floats, Floats]:
    """Simulate skin, fat in lobules, fibrous tissue, striated muscle and what lies deeper.

    Args:
        rng: draws what differs between two views of one case.
        field: the field of view.
        anatomy: numbers from 0 to 1 that both views share: depths and levels of the layers.

    Returns:
        Echo strength in dB and loss in dB per mm, each ``(H, W)``.
    """
    depth, total = field.depth, field.depth_mm
    skin = 1.0 + 1.2 * anatomy[0] + 0.08 * _line(rng, field, 4)
    fat = skin + total * (0.04 + 0.30 * anatomy[1]) + total * 0.03 * _line(rng, field, 6)
    fibrous = fat + total * (0.20 + 0.45 * anatomy[2]) + total * 0.03 * _line(rng, field, 9)
    muscle = fibrous + total * (0.12 + 0.25 * anatomy[3]) + total * 0.015 * _line(rng, field, 9)
    broad = _noise(rng, field, 3.0, 5.0)
    fine = _noise(rng, field, 0.5, 2.5)
    waves = _noise(rng, field, 2.2, 6.0)
    streaks = _noise(rng, field, 0.35, 4.0)

    septa = _ridge(waves, 0.10) * (8 + 5 * anatomy[4])
    in_fat = -9 + 3 * anatomy[5] + 1.5 * broad + septa
    calm = 0.35 if anatomy[6] < 0.3 else 1.0  # an even organ, or mixed fibrous and fatty tissue
    in_fibrous = calm * (3.2 * broad + 2.6 * fine + 1.8 * streaks + 4 * _ridge(waves - 0.7, 0.12)) - 1
    tilt = np.float32(rng.uniform(-0.12, 0.12)) * np.arange(field.size[1], dtype=np.float32) * np.float32(field.spacing)
    phase = (depth + tilt) * np.float32(2 * np.pi / rng.uniform(1.1, 2.0)) + 2.0 * waves + 0.8 * fine
    in_muscle = (
        -8 + 2 * broad + 9 * np.square(np.square(np.maximum(np.sin(phase), 0))) * np.clip(0.6 + 0.6 * streaks, 0, 1.4)
    )
    in_deep = -11 + 4 * anatomy[7] + 3 * broad + 2 * streaks
    echo = np.where(
        depth < fat, in_fat, np.where(depth < fibrous, in_fibrous, np.where(depth < muscle, in_muscle, in_deep))
    )
    echo = np.where(depth < skin, np.float32(3), echo)
    for boundary, gain, width in (
        (0.15, 12, 0.22),
        (skin, 11, 0.16),
        (fat, 11, 0.20),
        (fibrous, 13, 0.25),
        (muscle, 15, 0.3),
    ):
        broken = np.clip(0.75 + 0.6 * _line(rng, field, 3), 0, 1.3)
        echo = echo + gain * broken * _ridge(depth - boundary, width)
    return echo.astype(np.float32), np.zeros(field.size, np.float32)


def _window(field: FieldOfView, centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
    bounds = [
        (int(max(at - reach, 0)), int(min(at + reach + 2, size))) for at, size in zip(centre, field.size, strict=True)
    ]
    return slice(*bounds[0]), slice(*bounds[1])


def _level(
    field: FieldOfView, window: tuple[slice, slice], centre: tuple[float, float], radii: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Floats]:
    """Compute the distance from the centre relative to the outline's, and the distance from the outline in mm."""
    down = (np.arange(window[0].start, window[0].stop)[:, None] - centre[0]) * field.spacing
    across = (np.arange(window[1].start, window[1].stop)[None] - centre[1]) * field.spacing
    angles = np.linspace(-np.pi, np.pi, len(radii))
    outline = np.interp(np.arctan2(down, across), angles, radii)
    distance = np.hypot(down, across)
    return distance / outline, (distance - outline).astype(np.float32)


def _outline(rng: Random, height: float, width: float, roughness: float) -> NDArray[np.float64]:
    """Compute the radii in mm of a tilted, slightly rough ellipse in the picture's plane."""
    angles = np.linspace(-np.pi, np.pi, 181)
    turned = angles + rng.normal(0, 0.2)
    radii = 1 / np.hypot(np.cos(turned) / width, np.sin(turned) / height)
    for order in (2, 3, 4, 5):
        radii = radii * (1 + roughness / order * np.sin(order * angles + rng.uniform(0, 2 * np.pi)))
    return np.asarray(radii)


def add_distractors(
    rng: Random,
    field: FieldOfView,
    echo: Floats,
    loss: Floats,
    centre: tuple[float, float],
    radii: NDArray[np.float64],
) -> None:
    """Add cysts, fat lobules, vessels, ribs and poor contact to echo and loss, away from the lesion and unlabelled."""
    sizes = float(radii.mean())
    for _ in range(int(rng.integers(2, 6))):
        kind = str(rng.choice(["cyst", "lobule", "lobule", "vessel", "rib", "contact"]))
        if kind == "contact":
            _add_contact(rng, field, loss)
            continue
        height, width = {
            "cyst": (rng.uniform(0.8, 2.8), rng.uniform(1.0, 4.0)),
            "lobule": (sizes * rng.uniform(0.45, 0.95), sizes * rng.uniform(0.9, 2.2)),
            "vessel": (rng.uniform(0.5, 1.1), rng.uniform(3.0, 9.0)),
            "rib": (rng.uniform(1.5, 3.0), rng.uniform(3.0, 6.0)),
        }[kind]
        lowest = 0.75 if kind == "rib" else 0.2
        for _attempt in range(12):
            at = (
                field.top + rng.uniform(lowest, 0.92) * field.depth_mm / field.spacing,
                float(rng.uniform(field.left, field.right)),
            )
            if _clear(field, at, (height, width), centre, radii, shadows=kind == "rib"):
                _add_shape(
                    rng, field, echo, loss, kind, at, _outline(rng, height, width, 0.04 if kind == "cyst" else 0.12)
                )
                break


def _clear(
    field: FieldOfView,
    at: tuple[float, float],
    size: tuple[float, float],
    centre: tuple[float, float],
    radii: NDArray[np.float64],
    *,
    shadows: bool,
) -> bool:
    """Whether an ellipse stays clear of the lesion."""
    angles = np.linspace(-np.pi, np.pi, len(radii))
    down = (centre[0] - at[0]) * field.spacing + radii * np.sin(angles) * 1.15
    across = (centre[1] - at[1]) * field.spacing + radii * np.cos(angles) * 1.15
    # The outline enlarged by the ellipse must not hold its centre, nor the ellipse hold the outline.
    apart = np.hypot(down / (size[0] * 1.2), across / (size[1] * 1.2)).min() > 1
    offset = np.subtract(at, centre) * field.spacing
    outline = np.interp(np.arctan2(*offset), angles, radii)
    return bool(apart and np.hypot(*offset) > outline and not (shadows and offset[0] < 0))


def _add_shape(
    rng: Random,
    field: FieldOfView,
    echo: Floats,
    loss: Floats,
    kind: str,
    at: tuple[float, float],
    radii: NDArray[np.float64],
) -> None:
    window = _window(field, at, float(radii.max()) * 1.3 / field.spacing)
    level, distance = _level(field, window, at, radii)
    if level.size == 0:
        return
    soft = np.clip(0.5 - distance / np.float32(0.3), 0, 1)
    part, toll = echo[window], loss[window]
    if kind == "rib":
        cap = _ridge(distance, 0.4) * (np.arange(window[0].start, window[0].stop)[:, None] < at[0])
        part += 16 * cap - 8 * soft
        toll += 6 * soft
        return
    depth = {"cyst": rng.uniform(-30, -18), "lobule": rng.uniform(-15, -7), "vessel": rng.uniform(-24, -14)}[kind]
    part += soft * (depth - part * rng.uniform(0.4, 0.9))
    rim = {"cyst": 4, "lobule": rng.uniform(2, 9), "vessel": 7}[kind]
    part += rim * _ridge(distance - 0.15, 0.16)
    toll += soft * np.float32({"cyst": -0.8, "lobule": rng.uniform(-0.1, 0.25), "vessel": -0.3}[kind])


def _add_contact(rng: Random, field: FieldOfView, loss: Floats) -> None:
    """Add a dark band from the skin down, where the transducer does not touch."""
    across = np.arange(field.size[1], dtype=np.float32)
    edge = rng.choice([field.left, field.right, rng.uniform(field.left, field.right)], p=[0.3, 0.3, 0.4])
    band = _ridge((across - np.float32(edge)) * np.float32(field.spacing), rng.uniform(0.8, 3.0))
    rows = max(int(1.5 / field.spacing), 1)
    loss[field.top : field.top + rows] += band * np.float32(rng.uniform(2.5, 9.0) / (rows * field.spacing))


def add_lesion(
    rng: Random,
    field: FieldOfView,
    echo: Floats,
    loss: Floats,
    centre: tuple[float, float],
    radii: NDArray[np.float64],
    behaviour: Sequence[float],
) -> NDArray[np.bool_]:
    """Add the lesion to echo and loss, and give its exact mask.

    Args:
        rng: draws what differs between two views of one case.
        field: the field of view.
        echo: changed in place.
        loss: changed in place.
        centre: row and column.
        radii: distances of the outline from its centre, mm, over the angles from -pi to pi.
        behaviour: numbers from 0 to 1 that both views share: contrast, posterior echoes, margin, halo.
    """
    window = _window(field, centre, float(radii.max()) * 1.5 / field.spacing + 8)
    level, distance = _level(field, window, centre, radii)
    mask = np.zeros(field.size, bool)
    mask[window] = level <= 1
    part, toll = echo[window], loss[window]
    around = float(part[(level > 1.05) & (level < 1.4)].mean())
    kind, strength, posterior, margin, halo, inside = behaviour[:6]
    if kind < 0.72:
        contrast = -6 - 10 * strength
    elif kind < 0.86:
        contrast = -3.5 + 3 * strength
    else:
        contrast = 4 + 5 * strength
    blur = np.float32(0.12 + 1.0 * margin**3)
    soft = np.clip(0.5 - distance / (2 * blur), 0, 1)
    uneven = (0.6 + 3.0 * inside) * _noise(rng, field, 1.6, 2.2)[window] + 1.2 * _noise(rng, field, 0.5, 1.2)[window]
    part += soft * (np.float32(around + contrast) + uneven - part)
    if inside > 0.75:  # calcifications
        specks = (rng.uniform(size=part.shape) < 0.0015) & (level < 0.85)
        part[specks] += 22
    if inside < 0.15:  # a liquefied core
        part -= 12 * np.clip((0.55 + 0.15 * uneven - level) * 4, 0, 1).astype(np.float32)
    if halo < 0.25 or 0.72 <= kind < 0.86:
        rim = 4 + 5 * strength if halo < 0.5 else -5 - 5 * strength
        part += np.float32(rim) * _ridge(distance - 0.3, 0.25 + 0.5 * margin)
    toll += soft * np.float32(_posterior_loss(posterior))
    return mask


def _posterior_loss(posterior: float) -> float:
    """Give the extra loss in the lesion in dB/mm: it enhances below 0 and shadows above."""
    if posterior < 0.35:
        return -0.2 - 0.6 * (0.35 - posterior) / 0.35
    if posterior > 0.6:
        return 0.2 + 0.85 * (posterior - 0.6) / 0.4
    return 0.0
