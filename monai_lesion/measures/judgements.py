"""What a calibrated network's scores say about its mask: decision, trust, and how far its sizes may be off.

This file needs only numpy, because a copy of it travels with every exported model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DECISIONS = ("lesion", "doubtful", "nothing found")
SIGNALS = ("scores", "views")
SIZES = ("long_axis", "short_axis", "area")  # of a picture
GAMMA = 0.7  # of the third view
SPREAD = 0.1  # what even the surest mask is given; see spread_of
SIDE, COARSE, GREYS = 64, 8, 10  # of the picture that is described: pixels, bands, and bins of the grey levels
SCALES = 4
FEATURES = GREYS + 2 * COARSE + 4 + 4 * SCALES
FURTHEST = 1e6


class Signals(NamedTuple):
    """What is known of a mask before calibration.

    Args:
        presence: from 0 to 1, the higher the likelier the picture shows a lesion.
        quality: from 0 to 1, the higher the better the mask.
        features: of the picture, from :func:`describe_picture`; None where nobody asks for them.
    """

    presence: float
    quality: float
    features: Array | None = None


class Judgement(NamedTuple):
    """How far a mask is to be believed.

    Args:
        decision: one of :data:`DECISIONS`.
        trust: the estimated Dice of the mask with its reference; None where nothing is found.
        unfamiliar: whether the picture is unlike those of the calibration, so that none of this is sure.
        quality: the signal behind the trust, which the intervals need.
    """

    decision: str
    trust: float | None
    unfamiliar: bool
    quality: float


def signals_of(scores: Array, features: Array | None = None) -> Signals:
    """The signals that a network's scores ``(1, 2)`` give, logits of presence and quality.

    Example:
        >>> round(signals_of(np.float32([[0, 2]])).quality, 6)
        0.880797
    """
    presence, quality = 1 / (1 + np.exp(-np.clip(np.asarray(scores, np.float64)[0, :2], -60, 60)))
    return Signals(float(presence), float(quality), features)


def signals_of_views(
    mask: Array, pixels: Array, segment: Callable[[Array], Array], features: Array | None = None
) -> Signals:
    """The signals of a network without scores: how far the masks of three views of the picture agree.

    ::

        as it is ----- mask --+
        mirrored ----- mask --+-- mean Dice of the pairs
        gamma 0.7 ---- mask --+

    It costs two more runs of the network.

    Args:
        mask: ``(H, W)`` of the picture as it is.
        pixels: the picture, uint8 ``(H, W, 3)``.
        segment: gives the mask of a picture.
        features: of the picture.
    """
    mirrored = segment(np.ascontiguousarray(pixels[:, ::-1]))[:, ::-1]
    brighter = np.round(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)
    agreement = agreement_of([mask, mirrored, segment(brighter[pixels])])
    return Signals(agreement, agreement, features)


def agreement_of(masks: Sequence[Array]) -> float:
    """The mean Dice of each pair of masks; two empty ones agree.

    Example:
        >>> agreement_of([np.array([1, 1, 0]), np.array([1, 1, 0]), np.array([0, 1, 1])])
        0.6666666666666666
    """
    pairs = [(one > 0, other > 0) for i, one in enumerate(masks) for other in masks[i + 1 :]]
    sums = [(int((one & other).sum()), int(one.sum()) + int(other.sum())) for one, other in pairs]
    return float(np.mean([2 * common / total if total else 1.0 for common, total in sums]))


def judge(calibration: Mapping[str, Any], signals: Signals, *, found: bool) -> Judgement:
    """Decide, and estimate the Dice.

    Args:
        calibration: from ``model.json``, as :func:`monai_lesion.models.calibrations.check_calibration` takes it.
        signals: of the picture.
        found: whether the network's mask has a pixel.
    """
    unfamiliar = distance_of(calibration["familiarity"], signals.features) > 1
    presence = calibration["presence"]
    if not found or (presence is not None and signals.presence < presence["threshold"]):
        return Judgement("nothing found", None, unfamiliar, signals.quality)
    curve = calibration["trust"]
    trust = float(np.interp(signals.quality, curve["quality"], curve["dice"]))
    doubtful = unfamiliar or trust < curve["least"]
    return Judgement("doubtful" if doubtful else "lesion", trust, unfamiliar, signals.quality)


def describe_picture(pixels: Array) -> Array:
    """Statistics ``(F,)`` that tell a picture of another kind: of another organ, a photograph, a page, noise.

    Grey levels, brightness by depth and by width, colour, and how strongly neighbours differ at four scales; of
    64 x 64 pixels, so that they cost nothing.

    Args:
        pixels: uint8 ``(H, W, 3)``.
    """
    rows, columns = (np.minimum(np.int64((np.arange(SIDE) + 0.5) * size / SIDE), size - 1) for size in pixels.shape[:2])
    red, green, blue = pixels[rows][:, columns].transpose(2, 1, 0).astype(np.float64, order="C") / 255
    # By columns, the order in which the calibrations of all models were summed up.
    grey = ((red + green + blue) / 3).T
    colour = (np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).T
    inner = np.linspace(0, 1, GREYS + 1)[1:-1]
    levels = np.bincount(np.searchsorted(inner, grey.ravel(), side="right"), minlength=GREYS) / grey.size
    bands = grey.reshape(COARSE, SIDE // COARSE, COARSE, SIDE // COARSE).mean(axis=(1, 3))
    parts = [np.log(levels + 1e-2), bands.mean(axis=1), bands.mean(axis=0)]
    parts.append(np.array([grey.mean(), grey.std(), colour.mean(), _high(colour)]))
    for _ in range(SCALES):
        steps = np.abs(grey[1:] - grey[:-1]), np.abs(grey[:, 1:] - grey[:, :-1])
        parts.append(np.log([1e-3 + value for step in steps for value in (step.mean(), _high(step))]))
        grey = grey.reshape(len(grey) // 2, 2, -1, 2).mean(axis=(1, 3))
    return np.concatenate(parts)


def _high(values: Array) -> float:
    """The 95 % quantile, to the last bit that of ``np.quantile``, whose checks take most of its time."""
    place = 0.95 * (values.size - 1)
    below = int(place)
    low, high = np.partition(values.ravel(), (below, below + 1))[below : below + 2]
    share = place - below
    return float(low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share))


def distance_of(familiarity: Mapping[str, Any] | None, features: Array | None) -> float:
    """How unlike the calibration's pictures a picture is; 1 is the limit, and 0 what cannot be told."""
    if familiarity is None or features is None:
        return 0.0
    mean, scale, whitening = (np.asarray(familiarity[name], np.float64) for name in ("mean", "scale", "whitening"))
    return squared_distance(np.asarray(features, np.float64), mean, scale, whitening) / float(familiarity["limit"])


def squared_distance(features: Array, mean: Array, scale: Array, whitening: Array) -> float:
    """The mean square of standardised and decorrelated features (Mahalanobis, 1936)."""
    return float(np.clip((whitening @ ((features - mean) / scale)) ** 2, 0, FURTHEST).mean())


def spread_of(quality: float) -> float:
    """How wide an interval is to be at a quality, before calibration says how wide that is: the worse, the wider."""
    return 1 - quality + SPREAD


def bounds_of(calibration: Mapping[str, Any], name: str, quality: float, group: str = "") -> tuple[float, float] | None:
    """The factors between which the true size lies, relative to the measured one; None where it was not calibrated.

    Args:
        calibration: from ``model.json``.
        name: one of :data:`SIZES`, or ``"volume"``.
        quality: the signal; of a volume the worse of its two views.
        group: the group of the picture; an unknown one takes the factors of all groups pooled.
    """
    groups = calibration["intervals"]["groups"]
    bounds = groups.get(group, groups[""]).get(name) or groups[""].get(name)
    if bounds is None:
        return None
    low, high = np.exp(np.asarray(bounds, np.float64) * spread_of(quality))
    return float(low), float(high)
