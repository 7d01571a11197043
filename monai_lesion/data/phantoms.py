"""Simulated two-view cases: a three-dimensional lesion in speckled tissue, with exact masks and calibration.

The beam runs down the picture. A complex Gaussian field, filtered by a point spread function that is short along
the beam and wide across it, gives fully developed speckle; tissue sets its strength; the logarithm compresses it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from monai_lesion.data.manifests import deal, write_manifest
from monai_lesion.errors import InputError

VERSION = 1  # of the simulation: a new one makes a new cache folder
VIEWS = {"front": (380, 646), "side": (432, 646)}  # rows, columns: the paper's two sizes
FORMATS = ("png", "dicom")
CALIPER = (120, 200, 255)
MARGIN = (26, 34)  # rows above and columns beside the scanned field, in pixels
# Pretended scanners: dynamic range (dB), lateral and axial width of the point spread function (pixels), gain (dB).
SCANNERS = {"A": (58, 2.2, 1.0, 0), "B": (52, 3.0, 1.2, 2), "C": (64, 1.7, 0.9, -2), "D": (55, 2.6, 1.4, 1)}

Field = NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedView:
    """One picture: ``pixels`` uint8 ``(H, W, 3)``, ``mask`` bool ``(H, W)``, ``spacing`` row and column mm."""

    view: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float]
    calipers: bool


@dataclass(frozen=True)
class SimulatedCase:
    """Two orthogonal views of one lesion; ``semi_axes`` are across front, across side and along the beam, in mm."""

    case_id: str
    centre: str
    semi_axes: tuple[float, float, float]
    views: tuple[SimulatedView, SimulatedView]


def _smooth(rng: np.random.Generator, shape: tuple[int, int], grid: tuple[int, int]) -> Field:
    """Smooth noise of unit variance, with ``grid`` cells over ``shape``."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal((grid[0] + 3, grid[1] + 3)).astype(np.float32)
    fine = zoom(coarse, (shape[0] / grid[0], shape[1] / grid[1]), order=1)[: shape[0], : shape[1]]
    return np.asarray(fine / fine.std(), dtype=np.float32)


def _wave(rng: np.random.Generator, columns: int, cells: int) -> Field:
    """A smooth line of unit variance along the columns."""
    knots = rng.standard_normal(cells + 2)
    return np.asarray(np.interp(np.linspace(0, cells, columns), np.arange(cells + 2), knots), dtype=np.float32)


def _tissue(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Echo strength in dB: skin, fat lobules between septa, gland, striated muscle, and look-alikes of a lesion."""
    rows, columns = shape
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, columns, dtype=np.float32)[None]
    fat_end = rng.uniform(0.15, 0.35) + 0.03 * _wave(rng, columns, 5)
    muscle_start = rng.uniform(0.72, 0.92) + 0.02 * _wave(rng, columns, 4)
    lobules = _smooth(rng, shape, (7, 9))
    strength = np.where(depth < fat_end, -9 + 3 * lobules, -1 + 3.5 * _smooth(rng, shape, (9, 8)))
    strength += np.where(np.abs(lobules) < 0.12, 9, 0) * (depth < fat_end)  # septa between lobules
    bend = depth + 0.02 * _wave(rng, columns, 3)
    striae = 6 * np.sin(bend * rng.uniform(160, 260) + 2 * _smooth(rng, shape, (3, 4)))
    strength = np.where(depth > muscle_start, -10 + striae, strength)
    strength += 14 * np.exp(-(((depth - muscle_start) / 0.008) ** 2))  # fascia
    strength += 16 * np.exp(-(((depth - 0.012) / 0.01) ** 2)) + 8 * (depth < 0.05)  # skin
    for _ in range(rng.integers(1, 5)):  # dark lobules, vessels and cysts that nobody outlined
        cx, cy = rng.uniform(0, 1), rng.uniform(0.15, 0.95)
        rx, ry = rng.uniform(0.03, 0.11), rng.uniform(0.025, 0.08)
        distance = ((x - cx) / rx) ** 2 + ((depth - cy) / ry) ** 2 + 0.25 * lobules
        strength -= rng.uniform(6, 18) / (1 + np.exp(np.clip(8 * (distance - 1), -30, 30)))
    for _ in range(rng.integers(0, 3)):  # shadows of ribs and poor contact
        lane = np.exp(-(((x - rng.uniform(0, 1)) / rng.uniform(0.02, 0.07)) ** 2))
        strength -= rng.uniform(5, 15) * lane * (depth > rng.uniform(0, 0.6))
    return np.asarray(strength, dtype=np.float32)


def _speckle(rng: np.random.Generator, shape: tuple[int, int], axial: float, lateral: float) -> Field:
    """Envelope of a filtered complex Gaussian field, mean square 1; its lateral width grows away from the focus."""
    from scipy.ndimage import gaussian_filter1d

    focus = rng.uniform(0.3, 0.7)
    blur = np.abs(np.linspace(0, 1, shape[0], dtype=np.float32) - focus)[:, None] * 1.2
    power = np.zeros(shape, dtype=np.float32)
    for _ in range(2):  # real and imaginary part
        field = gaussian_filter1d(rng.standard_normal(shape, dtype=np.float32), axial, axis=0, truncate=3)
        sharp = gaussian_filter1d(field, lateral, axis=1, truncate=3)
        wide = gaussian_filter1d(field, 2 * lateral, axis=1, truncate=3)
        mixed = (1 - blur) * sharp / sharp.std() + blur * wide / wide.std()
        power += (mixed / mixed.std(axis=1, keepdims=True)) ** 2
    return np.sqrt(power / 2)


def _lesion(
    coordinates: tuple[Field, Field, Field], semi_axes: Sequence[float], tilt: float, waves: NDArray[Any]
) -> Field:
    """Relative distance from the surface, negative inside: an ellipsoid whose radius varies smoothly with direction.

    Args:
        coordinates: across front, across side and depth from the centre, in mm.
        semi_axes: in the same order, in mm.
        tilt: rotation about the axis across the side view, in radians.
        waves: one row per harmonic: three wave numbers, a phase and an amplitude.
    """
    u, v, w = coordinates
    c, s = np.cos(tilt), np.sin(tilt)
    q = [(c * u + s * w) / semi_axes[0], v / semi_axes[1], (c * w - s * u) / semi_axes[2]]
    radius = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2) + 1e-6
    surface = np.ones_like(radius)
    for kx, ky, kz, phase, amplitude in waves:
        surface = surface + amplitude * np.sin((kx * q[0] + ky * q[1] + kz * q[2]) / radius + phase)
    return np.asarray(radius / surface - 1, dtype=np.float32)


def _axes(mask: NDArray[np.bool_]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """End points (row, column) of the longest diameter and of the longest chord across it."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import cdist

    points = np.argwhere(mask).astype(float)
    hull = points[ConvexHull(points).vertices]
    distances = cdist(hull, hull)
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    along = (hull[second] - hull[first]) / distances.max()
    across = np.array([-along[1], along[0]])
    place, side = np.rint(points @ along).astype(int), points @ across
    place -= place.min()
    low, high = np.full(place.max() + 1, np.inf), np.full(place.max() + 1, -np.inf)
    np.minimum.at(low, place, side)
    np.maximum.at(high, place, side)
    best = int((high - low).argmax())
    chord = points[place == best]
    order = (chord @ across).argsort()
    return [(hull[first], hull[second]), (chord[order[0]], chord[order[-1]])]


def _draw(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], *, calipers: bool, caption: str) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN[1], 6), caption, fill=(190, 190, 190))
    for row in range(MARGIN[0], pixels.shape[0], 40):  # the depth scale
        draw.line([(pixels.shape[1] - 12, row), (pixels.shape[1] - 6, row)], fill=(150, 150, 150))
    for ends in _axes(mask) if calipers else []:
        (r0, c0), (r1, c1) = ends
        for t in np.arange(0, 1, 6 / max(np.hypot(r1 - r0, c1 - c0), 6)):
            draw.point([(c0 + t * (c1 - c0), r0 + t * (r1 - r0))], fill=CALIPER)
        for row, column in ends:
            draw.line([(column - 5, row), (column + 5, row)], fill=CALIPER)
            draw.line([(column, row - 5), (column, row + 5)], fill=CALIPER)
    return np.asarray(picture)


def simulate_case(seed: int, case: int, *, irregularity: float = 1.0) -> SimulatedCase:
    """Simulate one case; the same arguments give the same pixels.

    Args:
        seed: of the whole set.
        case: number of the case.
        irregularity: 0 gives an untilted ellipsoid, 1 lobulated and tilted lesions.

    Returns:
        The case, its mask cut from the three-dimensional shape at pixel centres.
    """
    rng = np.random.default_rng([seed, case])
    centre = str(rng.choice(list(SCANNERS)))
    dynamic_range, lateral, axial, gain = SCANNERS[centre]
    widest = rng.uniform(5.5, 15)
    semi_axes = (widest, widest * rng.uniform(0.65, 1), widest * rng.uniform(0.45, 0.85))
    count = 7
    waves = np.column_stack([rng.normal(0, 3, (count, 3)), rng.uniform(0, 2 * np.pi, count),
                             rng.uniform(0.01, 0.065, count) * irregularity])
    tilt = rng.uniform(-0.5, 0.5) * irregularity
    contrast = rng.uniform(-17, -8) if rng.uniform() < 0.85 else rng.uniform(-6, 7)
    sharpness = rng.uniform(10, 50)
    halo = rng.uniform(0, 8) if contrast > -8 else rng.uniform(0, 3)
    posterior = rng.uniform(-0.9, 0.6)  # dB per mm of lesion above
    spacing = float(np.round(rng.uniform(max(0.075, 2.9 * semi_axes[2] / 380), 0.125), 4))
    centre_depth = rng.uniform(0.3, 0.62)

    views = []
    for view, (height, width) in VIEWS.items():
        rows, columns = height - MARGIN[0], width - 2 * MARGIN[1]
        across = (np.arange(columns, dtype=np.float32) - columns * rng.uniform(0.35, 0.65)) * spacing
        down = (np.arange(rows, dtype=np.float32) - rows * centre_depth) * spacing
        plane = np.meshgrid(across, down)
        zero = np.zeros_like(plane[0])
        front = view == "front"
        level = _lesion((plane[0] if front else zero, zero if front else plane[0], plane[1]), semi_axes, tilt, waves)
        inside = level < 0

        strength = _tissue(rng, (rows, columns))
        soft = 1 / (1 + np.exp(np.clip(sharpness * level, -30, 30)))
        own = contrast + 2.5 * _smooth(rng, (rows, columns), (10, 14))
        strength = (1 - soft) * strength + soft * (own + 0.25 * strength)
        strength += halo * np.exp(-((level / 0.09) ** 2)) * (1 if contrast < -4 else -1)
        strength += posterior * spacing * np.minimum(inside.cumsum(axis=0), 8 / spacing)
        strength -= np.linspace(0, rng.uniform(2, 12), rows, dtype=np.float32)[:, None]  # attenuation left by the TGC
        echo = 20 * np.log10(_speckle(rng, (rows, columns), axial, lateral) + 1e-4) + strength
        grey = np.clip((echo + gain + 0.62 * dynamic_range) / dynamic_range, 0, 1) * 255

        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[MARGIN[0] :, MARGIN[1] : -MARGIN[1]] = grey.astype(np.uint8)[..., None]
        mask = np.zeros((height, width), dtype=bool)
        mask[MARGIN[0] :, MARGIN[1] : -MARGIN[1]] = inside
        calipers = bool(rng.uniform() < 0.85)
        caption = f"SIMULATED  case {case:04d}  {view}  scanner {centre}  {spacing * 100:.2f} mm/100 px"
        pixels = _draw(pixels, mask, calipers=calipers, caption=caption)
        views.append(SimulatedView(view, pixels, mask, (spacing, spacing), calipers))
    return SimulatedCase(f"{case:04d}", centre, semi_axes, (views[0], views[1]))


def _write_case(case: int, *, folder: Path, seed: int, formats: Sequence[str]) -> list[dict[str, Any]]:
    """Write one case; its entries, with the image's path without extension."""
    simulated = simulate_case(seed, case)
    entries = []
    for number, view in enumerate(simulated.views):
        stem = f"{simulated.case_id}_{view.view}"
        if "png" in formats:
            Image.fromarray(view.pixels).save(folder / f"images/{stem}.png", compress_level=1)
        if "dicom" in formats:
            from monai_lesion.data.phantom_dicom import write_view

            write_view(folder / f"images/{stem}.dcm", view, seed=seed, case=case, number=number)
        Image.fromarray(view.mask).save(folder / f"masks/{stem}.png", optimize=False)
        entries.append(
            {
                "case_id": simulated.case_id,
                "view": view.view,
                "image": f"images/{stem}",
                "label": f"masks/{stem}.png",
                "centre": simulated.centre,
                "spacing": list(view.spacing),
                "calipers": view.calipers,
            }
        )
    return entries


def write_phantoms(
    output: str | Path,
    *,
    cases: int,
    seed: int = 0,
    formats: Sequence[str] = ("png",),
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write simulated cases with their manifest: ``phantoms.json`` for PNG, ``phantoms_dicom.json`` for DICOM.

    Args:
        output: a new or empty folder; it appears only when it is whole.
        cases: number of cases, two pictures each; 60 / 20 / 20 % go to training, validation and test.
        seed: of the whole set.
        formats: ``"png"``, ``"dicom"`` or both; masks are always PNG.
        workers: processes; None takes one per core. The pictures do not depend on it.
        progress: show a bar with the time left.

    Returns:
        The manifest of the first format.

    Raises:
        InputError: for fewer than 5 cases, an unknown format or a folder that holds something.
    """
    folder = Path(output).absolute()
    if cases < 5:
        raise InputError("cases", "must be at least 5, so that each split has one", got=cases)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError("formats", f"must be of {', '.join(FORMATS)}", got=", ".join(unknown) or "none")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "must be a new or empty folder", got="one in use", fix="Delete it or name another")
    part = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        for name in ("images", "masks"):
            (part / name).mkdir(parents=True)
        entries = _write_all(part, cases, seed, tuple(formats), workers or os.cpu_count() or 1, progress)
        about = {
            "description": f"{cases} simulated two-view ultrasound cases, seed {seed}, by monai-lesion phantoms",
            "licence": "Apache-2.0",
            "reference": "https://github.com/Project-MONAI",
            "labels": {"1": "lesion"},
        }
        names = {"png": "phantoms", "dicom": "phantoms_dicom"}
        endings = {"png": ".png", "dicom": ".dcm"}
        for kind in formats:
            own = [{**entry, "image": entry["image"] + endings[kind]} for entry in entries]
            lists = deal(own, (0.6, 0.2, 0.2), seed=seed, stratify=["centre"])
            write_manifest({"name": names[kind], **about, **lists}, part / f"{names[kind]}.json")
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder / f"{names[formats[0]]}.json"


def _write_all(
    folder: Path, cases: int, seed: int, formats: tuple[str, ...], workers: int, progress: bool
) -> list[dict[str, Any]]:
    from tqdm import tqdm

    write = partial(_write_case, folder=folder, seed=seed, formats=formats)
    numbers = range(1, cases + 1)
    bar = partial(tqdm, total=cases, desc="simulating", unit="case", disable=not progress)
    if workers <= 1:
        return [entry for entries in bar(map(write, numbers)) for entry in entries]
    with ProcessPoolExecutor(workers) as pool:
        return [entry for entries in bar(pool.map(write, numbers, chunksize=2)) for entry in entries]


def default_phantoms(*, cases: int = 48, seed: int = 0) -> Path:
    """The manifest of the simulated cases that a training without a data set uses, made on first use.

    They are kept in ``$MONAI_LESION_CACHE``, by default ``~/.cache/monai_lesion``.
    """
    cache = Path(os.environ.get("MONAI_LESION_CACHE") or Path.home() / ".cache" / "monai_lesion")
    folder = cache / f"phantoms-v{VERSION}-{cases}-{seed}"
    manifest = folder / "phantoms.json"
    if not manifest.exists():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            write_phantoms(folder, cases=cases, seed=seed)
        except (InputError, OSError):
            if not manifest.exists():  # else another process was faster
                raise
    return manifest
