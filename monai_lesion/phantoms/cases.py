"""Simulate ultrasound of one case: a three-dimensional lesion in layered tissue, cut in two orthogonal planes.

::

    shape (mm) --cut--> outline --+
                                  +--> echo (dB) -- shadows -- PSF on noise -- envelope -- log -- grey -- calipers
    layers, distractors (mm) -----+

The axes are x (lateral in the front view), y (depth, along the beam) and z (lateral in the side view).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.phantoms.scanners import SCANNERS, Scanner
from monai_lesion.phantoms.tissue import FieldOfView, add_distractors, add_lesion, layered_tissue

GENERATOR = 2  # raise it when the pictures change, so that no cache or archive takes new ones for old
VIEW_SIZES = {"front": (380, 646), "side": (432, 646)}  # rows, columns: the paper's two sizes
CALIPER_COLOUR = (112, 196, 255)
CALIPER_SHARE = 0.8  # of the views
ANGLES = np.linspace(-np.pi, np.pi, 721)

Floats = NDArray[np.float32]
Point = tuple[float, float]  # row, column


@dataclass(frozen=True, eq=False)
class LesionShape:
    """An ellipsoid whose surface smooth waves move in and out.

    Args:
        semi_axes_mm: semi-axes of the ellipsoid.
        rotation: ``(3, 3)``; its columns are the directions of the semi-axes in (x, y, z).
        irregularity: largest displacement of the surface, as a share of the radius; 0 leaves the ellipsoid.
        waves: ``(K, 5)``: direction (3), phase and amplitude of each wave; the amplitudes sum to 1.
    """

    semi_axes_mm: tuple[float, float, float]
    rotation: NDArray[np.float64]
    irregularity: float
    waves: NDArray[np.float64]

    def radii(self, view: str, angles: NDArray[Any] = ANGLES) -> NDArray[np.float64]:
        """Compute the distance in mm from the centre to the outline in a view's plane.

        Args:
            view: "front" (z = 0) or "side" (x = 0).
            angles: radians from the lateral axis towards the depth.
        """
        lateral, depth, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
        rays = np.stack([lateral, depth, zero] if view == "front" else [zero, depth, lateral], axis=-1)
        scaled = rays @ self.rotation / np.asarray(self.semi_axes_mm)
        stretch = np.linalg.norm(scaled, axis=-1)
        waves = np.sin(scaled / stretch[:, None] @ self.waves[:, :3].T + self.waves[:, 3]) @ self.waves[:, 4]
        return np.asarray((1 + self.irregularity * waves) / stretch)


@dataclass(frozen=True, eq=False)
class SimulatedView:
    """One picture of a case with its exact mask and axes.

    Args:
        view: "front" or "side".
        pixels: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool; a pixel is inside when its centre is.
        spacing: mm from row to row and from column to column.
        centre: row and column of the lesion's centre.
        long_axis: the two ends (row, column) of the longest diameter.
        short_axis: the two ends of the longest chord perpendicular to it.
        calipers: whether the axes are drawn in light blue.
        caliper_ends: row and column of the crosses drawn, two on the long axis and two on the short one; near the ends
            of the axes, as a hand would place them.
        text: box (top, left, bottom, right) of the mark in a corner; None without a mark.
    """

    view: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float]
    centre: Point
    long_axis: tuple[Point, Point]
    short_axis: tuple[Point, Point]
    calipers: bool
    caliper_ends: tuple[Point, ...] = ()
    text: tuple[int, int, int, int] | None = None

    @property
    def long_axis_mm(self) -> float:
        """Length of the long axis."""
        return self._length(self.long_axis)

    @property
    def short_axis_mm(self) -> float:
        """Length of the short axis."""
        return self._length(self.short_axis)

    def _length(self, ends: tuple[Point, Point]) -> float:
        return float(np.hypot(*((np.subtract(*ends)) * self.spacing)))


@dataclass(frozen=True, eq=False)
class SimulatedCase:
    """One patient's lesion in two views.

    Args:
        case_id: four digits.
        views: front and side.
        shape: the lesion in three dimensions.
        centre: letter of the pretend scanner.
    """

    case_id: str
    views: tuple[SimulatedView, SimulatedView]
    shape: LesionShape
    centre: str

    @property
    def semi_axes_mm(self) -> tuple[float, float, float]:
        """Semi-axes of the ellipsoid that the lesion is made from."""
        return self.shape.semi_axes_mm


def simulate_case(seed: int, case: int, *, irregularity: float | None = None) -> SimulatedCase:
    """Simulate the two views of one case; the same arguments always give the same case.

    Args:
        seed: random seed of the data set, from 0.
        case: number of the case, from 0.
        irregularity: how irregular the lesion's surface is, 0 (an ellipsoid) to 0.5; None draws one.

    Example:
        >>> case = simulate_case(0, 1)
        >>> [(view.view, view.pixels.shape, view.mask.shape) for view in case.views]
        [('front', (380, 646, 3), (380, 646)), ('side', (432, 646, 3), (432, 646))]
    """
    rng = np.random.default_rng([seed, case])
    centre = str(rng.choice(sorted(SCANNERS)))
    scanner = SCANNERS[centre]
    low, high = scanner.spacing
    base = rng.uniform(low, high)
    fields = {
        view: FieldOfView.draw(rng, size, round(float(np.clip(base * rng.uniform(0.93, 1.07), low, high)), 4), scanner)
        for view, size in VIEW_SIZES.items()
    }
    depth = min(field.depth_mm for field in fields.values())
    shape = _draw_shape(rng, depth, irregularity)
    reach = {view: shape.radii(view) for view in fields}
    upper = max(float((-radii * np.sin(ANGLES)).max()) for radii in reach.values())
    lower = max(float((radii * np.sin(ANGLES)).max()) for radii in reach.values())
    position = rng.uniform(upper + 0.09 * depth, max(upper + 0.1 * depth, min(0.72 * depth, depth - lower - 1.0)))
    # Python floats: numpy's own would turn every float32 picture that they multiply into float64.
    anatomy, behaviour = rng.uniform(size=8).tolist(), rng.uniform(size=8).tolist()
    views = tuple(
        _render(rng, view, fields[view], scanner, reach[view], position, anatomy, behaviour)
        for view in ("front", "side")
    )
    return SimulatedCase(f"{case + 1:04d}", (views[0], views[1]), shape, centre)


def _draw_shape(rng: np.random.Generator, depth: float, irregularity: float | None) -> LesionShape:
    semi_depth = depth * rng.uniform(0.09, 0.26)
    wide = rng.uniform(0.85, 1.9, size=2)
    semi = np.minimum(np.array([semi_depth * wide[0], semi_depth, semi_depth * wide[1]]), 14.0)
    tilt = rng.normal(0, [0.25, 0.7, 0.25])  # about x, y, z; any angle about the beam, mostly flat against it
    rotation = np.eye(3)
    for axis, angle in enumerate(tilt):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    count = 7
    normals = rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    frequency = rng.uniform(1.5, rng.uniform(4.0, 9.0), size=count)
    amplitude = 1 / frequency
    drawn = rng.uniform(0.05, 0.45)
    waves = np.column_stack(
        [normals * frequency[:, None], rng.uniform(0, 2 * np.pi, size=count), amplitude / amplitude.sum()]
    )
    semi_axes = (float(semi[0]), float(semi[1]), float(semi[2]))
    return LesionShape(semi_axes, rotation, drawn if irregularity is None else irregularity, waves)


def _render(
    rng: np.random.Generator,
    view: str,
    field: FieldOfView,
    scanner: Scanner,
    radii: NDArray[np.float64],
    position: float,
    anatomy: Sequence[float],
    behaviour: Sequence[float],
) -> SimulatedView:
    spacing = field.spacing
    outline = np.column_stack([radii * np.sin(ANGLES), radii * np.cos(ANGLES)]) / spacing
    room = outline[:, 1].min(), outline[:, 1].max()
    left, right = field.left + 12 - room[0], field.right - 12 - room[1]
    middle = (left + right) / 2
    spread = (right - left) / 2 * (0.35 if field.curved else 0.7)
    column = middle + rng.uniform(-1, 1) * spread
    centre = (field.top + position / spacing, float(column))

    echo, loss = layered_tissue(rng, field, anatomy)
    add_distractors(rng, field, echo, loss, centre, radii)
    mask = add_lesion(rng, field, echo, loss, centre, radii, behaviour)
    grey = _display(_envelope(rng, field, scanner, echo, loss), field, scanner, rng)
    pixels, calipers = np.repeat(grey[..., None], 3, axis=2), bool(rng.uniform() < CALIPER_SHARE)
    long_axis, short_axis = _axes(outline[:-1:2] + np.asarray(centre))
    pixels, drawn, text = _annotate(rng, pixels, field, (long_axis, short_axis) if calipers else ())
    return SimulatedView(view, pixels, mask, (spacing, spacing), centre, long_axis, short_axis, calipers, drawn, text)


def _envelope(rng: np.random.Generator, field: FieldOfView, scanner: Scanner, echo: Floats, loss: Floats) -> Floats:
    """Compute the power, in dB, of complex scatterers seen through a point spread that widens away from the focus."""
    from scipy import fft
    from scipy.ndimage import gaussian_filter1d

    spacing = field.spacing
    shadow = np.cumsum(loss, axis=0, dtype=np.float32) * np.float32(spacing)
    shadow = np.clip(gaussian_filter1d(shadow, 0.35 / spacing, axis=1), -9, 24)
    slope = rng.uniform(0.02, 0.26)  # what the time-gain compensation leaves, dB per mm
    columns = gaussian_filter1d(rng.standard_normal(field.size[1]), 40) * rng.uniform(4, 18)
    level = echo - shadow - np.float32(slope) * field.depth + columns.astype(np.float32)
    amplitude = np.exp(level * np.float32(np.log(10) / 20))
    focus = rng.uniform(0.25, 0.6) * field.depth_mm
    away = np.clip(np.abs(np.arange(field.size[0]) - field.top - focus / spacing) * spacing / field.depth_mm, 0, 1)
    axial = scanner.axial / spacing
    lateral = np.float32(scanner.lateral / spacing) * (1 + (scanner.widening - 1) * np.sqrt(away))[:, None]  # of a row

    # A Gaussian of standard deviation s keeps 1 / (2 s sqrt(pi)) of the power of white noise.
    scatter = rng.standard_normal((2, *field.size), dtype=np.float32) * amplitude
    scatter = gaussian_filter1d(scatter, axial, axis=1, truncate=3) * np.float32(np.sqrt(2 * axial * np.sqrt(np.pi)))
    frequency = fft.fftfreq(field.size[1])[None]
    transfer = np.exp((-2 * np.pi**2 * np.square(lateral * frequency)).astype(np.float32))
    transfer *= np.sqrt(2 * lateral * np.sqrt(np.pi)).astype(np.float32)
    echoes = fft.ifft(fft.fft(scatter[0] + np.complex64(1j) * scatter[1], axis=1) * transfer, axis=1)
    noise = np.float32(10 ** (-4.2))  # electronic
    power = (np.square(echoes.real) + np.square(echoes.imag)) / 2 + noise
    # Smoothed before the logarithm, as the detector does: after it, speckle keeps its black holes.
    detected = gaussian_filter1d(np.sqrt(power), scanner.smoothing, axis=0, truncate=3)
    detected = gaussian_filter1d(detected, 2 * scanner.smoothing, axis=1, truncate=3)
    return np.asarray(20 * np.log10(detected), np.float32)


def _display(level: Floats, field: FieldOfView, scanner: Scanner, rng: np.random.Generator) -> NDArray[np.uint8]:
    grey = level / scanner.dynamic_range + (scanner.level + rng.uniform(-0.05, 0.13))
    grey = np.clip(grey, 0, 1) ** np.float32(rng.uniform(1.0, 1.35))
    grey[~field.inside] = 0
    return np.asarray(grey * 255 + 0.5).astype(np.uint8)


def _axes(outline: NDArray[np.float64]) -> tuple[tuple[Point, Point], tuple[Point, Point]]:
    """Find the ends of the longest diameter, and of the longest chord perpendicular to it."""
    apart = outline[:, None] - outline[None]
    first, second = np.unravel_index(np.square(apart).sum(axis=-1).argmax(), apart.shape[:2])
    along = apart[first, second] / np.linalg.norm(apart[first, second])
    slant = np.abs(apart @ along)
    across = np.abs(apart @ np.array([-along[1], along[0]]))
    across[slant > 0.01 * across.max()] = 0
    third, fourth = np.unravel_index(across.argmax(), across.shape)

    def ends(one: int, other: int) -> tuple[Point, Point]:
        return (float(outline[one, 0]), float(outline[one, 1])), (float(outline[other, 0]), float(outline[other, 1]))

    return ends(int(first), int(second)), ends(int(third), int(fourth))


def _annotate(
    rng: np.random.Generator,
    pixels: NDArray[np.uint8],
    field: FieldOfView,
    axes: tuple[tuple[Point, Point], ...],
) -> tuple[NDArray[np.uint8], tuple[Point, ...], tuple[int, int, int, int] | None]:
    """Burn in what a scanner adds: a depth scale, a grey bar, a mark, and the calipers of the radiologist.

    Returns:
        The picture, the pixels at the centres of its crosses, and the box of its mark.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    rows, columns = field.size
    tone = int(rng.integers(140, 230))
    crosses: list[Point] = []
    mark = None
    if rng.uniform() < 0.6:
        for number, depth in enumerate(np.arange(0, field.depth_mm, 5)):
            row = field.top + depth / field.spacing
            draw.line([columns - (4 if number % 2 else 8), row, columns - 1, row], fill=(tone,) * 3)
    if rng.uniform() < 0.4:
        for step in range(80):
            draw.line([3, 20 + step, 10, 20 + step], fill=(255 - step * 3,) * 3)
    if rng.uniform() < 0.5:
        text = f"{rng.choice(['B', 'F', 'G', 'DR'])} {rng.integers(10, 99)}  {rng.choice(['L', 'R', 'US', 'T'])}"
        corner = (16, rows - 14) if rng.uniform() < 0.5 else (columns - 80, 3)
        draw.text(corner, text, fill=(tone,) * 3, font=ImageFont.load_default())
        left, top, right, bottom = (round(side) for side in draw.textbbox(corner, text, font=ImageFont.load_default()))
        mark = (top, left, bottom, right)
    for ends in axes:
        points = np.asarray(ends) + rng.normal(0, 1.0, size=(2, 2))  # a hand is never exact
        for row, column in np.rint(points):
            crosses.append((float(row), float(column)))
            draw.line([column - 5, row, column + 5, row], fill=CALIPER_COLOUR)
            draw.line([column, row - 5, column, row + 5], fill=CALIPER_COLOUR)
        length = float(np.hypot(*(points[1] - points[0])))
        for share in np.arange(8, length - 7, 5) / length:
            row, column = np.rint(points[0] + share * (points[1] - points[0]))
            draw.point([column, row], fill=CALIPER_COLOUR)
    return np.array(picture), tuple(crosses), mark
