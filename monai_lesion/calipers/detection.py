"""Find the caliper markers and the dotted lines of a picture.

::

    picture -- annotation channel -- matched filters -- peaks -- cosine in whitened space -- markers -- dots between

Speckle is band-limited, a marker is not. Each picture's own patches show what its speckle looks like; seen through the
inverse of their covariance, speckle is white and a marker stands out, whatever scanner made either. The measure is the
adaptive coherence estimator of radar and hyperspectral detection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.calipers.anomalies import Floats, anomaly_map, centred, patches_of, whitener
from monai_lesion.calipers.markers import (
    ASTERISK,
    DIAMOND,
    OPEN_DIAMOND,
    Point,
    checked_picture,
    cross,
    maltese,
    plus,
)
from monai_lesion.calipers.texts import find_texts
from monai_lesion.machine.threads import one_blas_thread

REACH = 7  # of a patch: 15 x 15 pixels around its centre
STRONG, WEAK = 0.46, 0.40  # least cosine of a marker; of one in a picture that has a strong one
HALF = 0.24  # least plain correlation of each half of a patch: a marker has an arm on every side, a long line has not
SURE = 0.70  # cosine from which halves are not asked for
GRADED = 0.50  # least cosine of an asterisk or a diamond, whose shapes are known in every pixel
PURE = 0.7  # least cosine on a coloured channel, where there is no speckle; dots that cross are not a marker
PLAIN = 0.36  # least plain correlation of patch and marker
PEAKS = 80  # of the matched filter of each kind that are looked at closely
CHROMA = 40  # of 255, from which a pixel is coloured
COLOURED = 0.03  # share of a picture; more is a flow or tint map, not an annotation
BORDER = 4  # markers nearer to the border than this, in pixels, are not looked for
CONTRAST = 120  # grey levels times pixels: least norm of a marker's patch; a flatter one is rounding
APART = 6  # pixels between the centres of two markers
AROUND = np.mgrid[-1:2, -1:2].reshape(2, -1)  # rows and columns of a peak and its eight neighbours
RIDGE = 0.02  # of the mean eigenvalue of the patches' covariance
BEFORE = 24  # pixels, at most, from a marker to the line of text that it begins: the legend of a measurement
LETTER = 0.58  # least cosine of a marker in a line of text, where a T is much like a plus
DRAWN = 1.5  # of the median anomaly: most of a line's pixels have it
FULL, EMPTY = 0.85, 0.5  # share of these pixels on a line, at least, and on those beside it, at most


@dataclass(frozen=True)
class Marker:
    """A caliper marker.

    Args:
        row: row of its centre, in pixels.
        column: column of its centre, in pixels.
        kind: "plus", "x", "asterisk", "maltese" or "diamond".
        arm: pixels from the centre to the end of its strokes.
        score: cosine between marker and patch in whitened space, at most 1.
    """

    row: int
    column: int
    kind: str
    arm: int
    score: float


@dataclass(frozen=True)
class DottedLine:
    """Dots between two markers.

    Args:
        start: row and column of one end, the centre of a marker.
        end: end of the other.
        score: share of the pixels between the markers that are drawn on.
    """

    start: Point
    end: Point
    score: float


@dataclass(frozen=True)
class Box:
    """Rows and columns of a line of text, the last ones not included."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing a picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Annotations:
    """What is burned into a picture."""

    markers: tuple[Marker, ...] = ()
    lines: tuple[DottedLine, ...] = ()
    texts: tuple[Box, ...] = ()

    def __bool__(self) -> bool:
        """Whether calipers were found; text alone does not give a lesion away."""
        return bool(self.markers)


@one_blas_thread
def find_annotations(image: NDArray[Any]) -> Annotations:
    """Find caliper markers, dotted lines between them, and lines of text.

    Args:
        image: 8-bit.

    Shape:
        - image: ``(H, W)`` or ``(H, W, 3)``

    Raises:
        InputError: for another shape or type, or fewer than 16 rows or columns.

    Example:
        >>> from monai_lesion.calipers import draw_calipers
        >>> from scipy.ndimage import gaussian_filter
        >>> speckle = gaussian_filter(np.random.default_rng(0).normal(size=(96, 128)), (1, 3)) * 150 + 90
        >>> drawn = draw_calipers(speckle.clip(0, 255).astype(np.uint8), [(40, 30), (46, 95)], dotted=True)
        >>> found = find_annotations(drawn)
        >>> [(marker.row, marker.column, marker.kind) for marker in found.markers], len(found.lines)
        ([(40, 30, 'plus'), (46, 95, 'plus')], 1)
    """
    picture = checked_picture(image)
    shade = grey(picture)
    anomalies = anomaly_map(shade)
    texts = tuple(Box(*box) for box in find_texts(shade, anomalies))
    chroma = coloured_strokes(picture)
    if chroma is not None:
        markers = _find_markers(chroma, white=True, texts=())
        return Annotations(markers, _find_lines(_spread(chroma), CHROMA, markers), texts)
    markers = _find_markers(shade.astype(np.float32), white=False, texts=texts)
    return Annotations(markers, _find_lines(anomalies, DRAWN, markers), texts)


def grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The brightest of the three channels, so that a coloured stroke is as bright as a white one."""
    return picture if picture.ndim == 2 else picture.max(axis=2)


def coloured_strokes(picture: NDArray[np.uint8]) -> Floats | None:
    """The chroma of a grey picture with some coloured strokes; None for any other picture."""
    if picture.ndim == 2:
        return None
    chroma = picture.max(axis=2) - picture.min(axis=2)
    share = float((chroma >= CHROMA).mean())
    return chroma.astype(np.float32) if 0 < share <= COLOURED else None


def _spread(chroma: Floats) -> Floats:
    """Dots of a line grow together."""
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(chroma, 5))


@cache
def _bank() -> tuple[Floats, tuple[tuple[str, int], ...]]:
    """Patches of all markers, without mean and of length 1, with kind and arm."""
    from scipy.ndimage import gaussian_filter

    shapes: list[tuple[str, int, NDArray[Any]]] = [("plus", arm, plus(arm)) for arm in (3, 4, 5, 6, 8)]
    shapes += [("plus", 5, plus(5, 2)), ("x", 4, cross(4)), ("x", 4, cross(4, 2)), ("x", 5, cross(5))]
    shapes += [("x", 6, cross(6)), ("x", 8, cross(8))]
    shapes += [("asterisk", 5, ASTERISK), ("asterisk", 5, ASTERISK.T)]
    shapes += [("diamond", 5, DIAMOND), ("diamond", 5, OPEN_DIAMOND)]
    shapes += [("maltese", 5, maltese(hollow=hollow)) for hollow in (True, False)]
    side = 2 * REACH + 1
    patches = np.zeros((len(shapes), side, side), np.float32)
    for patch, (_, arm, strokes) in zip(patches, shapes, strict=True):
        kept = strokes[max(0, arm - REACH) : arm + REACH + 1, max(0, arm - REACH) : arm + REACH + 1]
        low = max(0, REACH - arm)
        patch[low : low + kept.shape[0], low : low + kept.shape[1]] = kept
    flat = gaussian_filter(patches, (0, 0.4, 0.4)).reshape(len(shapes), -1)  # pictures were resampled now and then
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True), tuple((kind, arm) for kind, arm, _ in shapes)


def _find_markers(channel: Floats, *, white: bool, texts: Iterable[Box]) -> tuple[Marker, ...]:
    """Markers of a channel whose background is white noise or nothing, or else speckle."""
    windows = patches_of(channel, REACH)
    bank, shapes = _bank()
    whiten = np.eye(bank.shape[1], dtype=np.float32) if white else whitener(windows, ridge=RIDGE)
    filters = bank @ whiten.T
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    kinds = np.array([kind for kind, _ in shapes])
    means = np.stack([filters[kinds == kind].mean(axis=0) for kind in dict.fromkeys(kinds)])
    rows, columns = _candidates(channel, means @ whiten)
    plain = centred(windows[rows, columns])
    patches = plain @ whiten.T
    scores = patches @ filters.T / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)
    scores[np.linalg.norm(plain, axis=1) < CONTRAST] = 0
    for box in texts:
        inside = (rows >= box.top) & (rows < box.bottom) & (columns >= box.left) & (columns < box.right)
        begins = (rows > box.top - 4) & (rows < box.bottom + 4) & (columns < box.left) & (columns > box.left - BEFORE)
        scores[(inside & (scores.max(axis=1) < LETTER)) | begins] = 0
    chosen: list[Marker] = []
    for flat in np.argsort(-scores, axis=None):
        index, best = divmod(int(flat), len(shapes))
        score = float(scores[index, best])
        if score < (PURE if white else WEAK if chosen else STRONG):
            break
        row, column = int(rows[index]), int(columns[index])
        if any(max(abs(row - other.row), abs(column - other.column)) <= APART for other in chosen):
            continue
        patch, shape = plain[index], bank[best]
        if shapes[best][0] in ("asterisk", "diamond") and score < GRADED:
            continue
        if patch @ shape < PLAIN * np.linalg.norm(patch):
            continue
        if score < SURE and _weakest_half(patch, shape) < HALF:
            continue
        if white or not _on_edge(patch):
            kind, arm = shapes[best]
            chosen.append(Marker(row, column, kind, arm, round(score, 3)))
    return tuple(sorted(chosen, key=lambda marker: (marker.row, marker.column)))


def _weakest_half(patch: Floats, shape: Floats) -> float:
    """The least correlation of patch and marker over the halves above, below, left and right of the centre."""
    side = 2 * REACH + 1
    pair = np.stack([patch, shape]).reshape(2, side, side)
    halves = (pair[:, :REACH], pair[:, REACH + 1 :], pair[:, :, :REACH], pair[:, :, REACH + 1 :])
    correlations = []
    for half in halves:
        first, second = (part.ravel() - part.mean() for part in half)
        length = float(np.linalg.norm(first) * np.linalg.norm(second))
        correlations.append(float(first @ second) / length if length > 0 else 0.0)
    return min(correlations)


def _on_edge(patch: Floats) -> bool:
    """Whether one side of a patch is blank and the other is not: the edge of the scanned field."""
    side = 2 * REACH + 1
    square = patch.reshape(side, side)
    for turned in (square, square.T):
        first, last = turned[:3], turned[-3:]
        for one, other in ((first, last), (last, first)):
            if np.ptp(one) <= 1 and other.std() > 5:
                return True
    return False


def _candidates(channel: Floats, filters: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Centres worth a closer look: the peaks of each matched filter and the pixels around them."""
    from scipy import fft
    from scipy.ndimage import maximum_filter

    side = 2 * REACH + 1
    padded = np.pad(channel, REACH, mode="reflect")
    shape = [fft.next_fast_len(size + side, real=True) for size in padded.shape]
    spectrum = fft.rfft2(padded, shape)
    rows, columns = [], []
    for one in filters.reshape(-1, side, side):
        answer = fft.irfft2(spectrum * fft.rfft2((one - one.mean())[::-1, ::-1], shape), shape)
        response = answer[2 * REACH : 2 * REACH + channel.shape[0], 2 * REACH : 2 * REACH + channel.shape[1]]
        inner = response[BORDER:-BORDER, BORDER:-BORDER]
        peaks = np.nonzero(inner == maximum_filter(inner, 9))
        order = np.argsort(-inner[peaks], kind="stable")[:PEAKS]
        rows.append(peaks[0][order] + BORDER)
        columns.append(peaks[1][order] + BORDER)
    near = np.concatenate(rows)[:, None] + AROUND[0], np.concatenate(columns)[:, None] + AROUND[1]
    inside = [np.clip(each, BORDER, size - 1 - BORDER).ravel() for each, size in zip(near, channel.shape, strict=True)]
    places = np.unique(np.stack(inside, axis=1), axis=0)
    return places[:, 0], places[:, 1]


def _find_lines(strength: Floats, least: float, markers: tuple[Marker, ...]) -> tuple[DottedLine, ...]:
    """Pairs of markers between which nearly every pixel is drawn on, while beside them it is not."""
    lines = []
    for first, second in combinations(markers, 2):
        step = np.array([second.row - first.row, second.column - first.column], np.float64)
        length = float(np.hypot(*step))
        start, stop = first.arm + 4, length - second.arm - 4
        if stop - start < 8:
            continue
        along, aside = step / length, np.array([-step[1], step[0]]) / length
        points = np.array([first.row, first.column]) + np.arange(start, stop)[:, None] * along
        on, left, right = (_share(strength, points + offset * aside, least) for offset in (0, -9, 9))
        if on >= FULL and min(left, right) <= EMPTY:
            lines.append(DottedLine((first.row, first.column), (second.row, second.column), round(on, 3)))
    return tuple(lines)


def _share(strength: Floats, points: NDArray[np.float64], least: float) -> float:
    where = np.rint(points).astype(np.int64)
    inside = ((where >= 0) & (where < strength.shape)).all(axis=1)
    values = strength[where[inside, 0], where[inside, 1]]
    return float((values >= least).mean()) if len(values) else 0.0
