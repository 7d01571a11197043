"""Calibrate decision, trust and intervals of a model on pictures that it was not trained on.

::

    model folder -- segment the split -- signals, sizes, Dice -- thresholds, curve, quantiles -- model.json
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.datasets.manifests import Manifest, read_label
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256
from monai_lesion.images.reading import read_image
from monai_lesion.measures.judgements import (
    SIZES,
    Signals,
    describe_picture,
    signals_of,
    signals_of_views,
    spread_of,
    squared_distance,
)
from monai_lesion.measures.metrics import dice
from monai_lesion.measures.quantiles import conformal_interval, conformal_quantile
from monai_lesion.measures.reliability import isotonic_curve
from monai_lesion.measures.sizes import Measurements, measure
from monai_lesion.models.calibrations import LARGEST, VOLUME
from monai_lesion.models.descriptions import FILE, ModelDescription, write_description
from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

LEAST_CASES = 50
LEAST_IN_GROUP = 40
FOLDS = 5  # of the distances: a picture is never compared with itself
FLAT = 1e-3  # a feature is taken to vary by at least this
SHRINKAGE = 0.3  # of the correlations: there are not many more pictures than features


@dataclass(frozen=True)
class OperatingPoint:
    """What a calibration aims at.

    Args:
        lost: largest share of pictures with a lesion in which nothing is found.
        least_trust: estimated Dice below which a mask is doubtful.
        level: probability that a size lies in its interval.
        flagged: share of pictures like those of the calibration that are taken for unfamiliar.

    Raises:
        InputError: for a share outside 0 to 1.
    """

    lost: float = 0.03
    least_trust: float = 0.7
    level: float = 0.9
    flagged: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise InputError(name, "must be a share between 0 and 1", got=value)


@dataclass(frozen=True)
class JudgedPicture:
    """What calibration and its checks need of one picture.

    Args:
        case_id: its case.
        view: its view.
        group: value of the column to group by; empty without one.
        lesion: whether the reference shows one.
        found: whether the mask, as the network drew it, has a pixel.
        signals: of the network.
        dice: of mask and reference; 0 for a mask on a picture without a lesion.
        measured: sizes of the mask; None where it is empty.
        true: sizes of the reference; None where it is empty.
        probability: the largest of the map.
    """

    case_id: str
    view: str
    group: str
    lesion: bool
    found: bool
    signals: Signals
    dice: float
    measured: Measurements | None = field(repr=False)
    true: Measurements | None = field(repr=False)
    probability: float


def look(
    segmenter: LesionSegmenter,
    manifest: Manifest,
    split: str,
    *,
    by: str | None = None,
    signal: str | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[JudgedPicture]:
    """Segment a split and keep what is needed to calibrate, or to check a calibration.

    Args:
        segmenter: its own calibration is left aside.
        manifest: with the split.
        split: name of the split.
        by: column of the manifest to group by.
        signal: ``"scores"`` or ``"views"``; None takes the scores of a network that has some, and else the views.
        progress: wraps the list of entries, for a progress bar.

    Raises:
        InputError: when the column is unknown, a file cannot be read, the network has no scores but they are asked for,
            or it computes NaN.
    """
    entries = manifest.entries(split)
    if by is not None and not any(by in entry for entry in entries):
        known = ", ".join(dict.fromkeys(key for entry in entries for key in entry))
        raise InputError("--by", f"must be a column of the manifest: {known}", got=by)
    return [_look_at(segmenter, entry, by, signal) for entry in progress(entries)]


def _look_at(segmenter: LesionSegmenter, entry: Mapping[str, Any], by: str | None, signal: str | None) -> JudgedPicture:
    image = read_image(entry["image"], frame=entry.get("frame"))
    label = read_label(entry)
    found, features = segmenter.find(image), describe_picture(image.pixels)
    if found.scores is None and signal == "scores":
        fix = "Use --signal views, which runs the network three times"
        raise InputError("--signal", "scores need a network that has some", got="one without", fix=fix)
    if found.scores is None or signal == "views":
        signals = signals_of_views(
            found.mask, image.pixels, lambda pixels: segmenter.find(replace(image, pixels=pixels)).mask, features
        )
    else:
        signals = signals_of(found.scores, features)
    lesion, drawn = bool(label.any()), bool(found.mask.any())
    return JudgedPicture(
        str(entry["case_id"]),
        str(entry["view"]),
        "" if by is None else str(entry.get(by) or ""),
        lesion,
        drawn,
        signals,
        dice(found.mask > 0, label) if lesion or drawn else math.nan,
        measure(found.mask) if drawn else None,
        measure(label) if lesion else None,
        float(found.probability.max()),
    )


def fit(
    pictures: Sequence[JudgedPicture],
    *,
    weights_id: str,
    signal: str,
    data: Mapping[str, Any],
    by: str | None = None,
    point: OperatingPoint | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Fit thresholds, curve and quantiles.

    Args:
        pictures: from :func:`look`.
        weights_id: of the network.
        signal: which signal they hold.
        data: manifest and split.
        by: the column that they are grouped by.
        point: what to aim at.

    Returns:
        The calibration, as ``model.json`` holds it, and what has to be said about it.

    Raises:
        InputError: for fewer than 50 cases, no picture with a lesion, or no mask.
    """
    aim, said = point or OperatingPoint(), []
    lesions = [each for each in pictures if each.lesion]
    cases = {each.case_id for each in pictures}
    if len(cases) < LEAST_CASES:
        raise InputError("calibration", f"needs at least {LEAST_CASES} cases", got=len(cases), fix="Annotate more")
    if not lesions:
        rule, got = "needs pictures with a lesion", f"{len(pictures)} without one"
        raise InputError("calibration", rule, got=got)
    empty = len(pictures) - len(lesions)
    presence: dict[str, Any] | None = None
    if not empty:
        said.append("presence is not calibrated, for every picture shows a lesion: no mask is taken back")
    else:
        scores = [-each.signals.presence if each.found else math.inf for each in lesions]
        threshold = -conformal_quantile(scores, [each.case_id for each in lesions], miss=aim.lost)
        if threshold < 0:
            lost = sum(not each.found for each in lesions)
            why = f"{lost} of {len(lesions)} lesions have no mask" if lost else "there are too few cases"
            said.append(f"presence is not calibrated, for {why}: no mask is taken back")
        else:
            presence = {"threshold": _rounded(threshold), "lost": aim.lost}
    drawn = [each for each in pictures if each.found]
    if not any(each.lesion for each in drawn):
        raise InputError("calibration", "needs masks of lesions", got="a network that draws none")
    places, values = isotonic_curve(
        [each.signals.quality for each in drawn], [each.dice for each in drawn], [each.case_id for each in drawn]
    )
    kept = [
        each for each in drawn if each.lesion and (presence is None or each.signals.presence >= presence["threshold"])
    ]
    groups = {"": kept}
    for name in sorted({each.group for each in kept} - {""}):
        members = [each for each in kept if each.group == name]
        count = len({each.case_id for each in members})
        if count >= LEAST_IN_GROUP:
            groups[name] = members
        else:
            said.append(f"{by} {name}: {count} cases, fewer than {LEAST_IN_GROUP}; pooled with all others")
    bounds = {name: _bounds(members, aim.level, name, said) for name, members in groups.items()}
    told = {**data, "cases": len(cases), "pictures": len(pictures), "without_lesion": empty}
    return {
        "weights_id": weights_id,
        "signal": signal,
        "data": told,
        "presence": presence,
        "trust": {"quality": places, "dice": values, "least": aim.least_trust},
        "familiarity": _familiarity(pictures, aim.flagged, said),
        "intervals": {"level": aim.level, "by": by, "groups": bounds},
    }, said


def _bounds(pictures: Sequence[JudgedPicture], level: float, group: str, said: list[str]) -> dict[str, Any]:
    """The ends of the logarithm of true over measured size, in units of the spread."""
    cases, spreads = [each.case_id for each in pictures], [spread_of(each.signals.quality) for each in pictures]
    found: dict[str, Any] = {"cases": len(set(cases))}
    for name in SIZES:
        errors = [math.log(_size(each.true, name) / _size(each.measured, name)) for each in pictures]
        found[name] = _ends(errors, spreads, cases, level)
    found[VOLUME] = None if group else _ends(*_volumes(pictures), level)
    missing = [
        name.replace("_", " ") for name in (*SIZES, VOLUME) if found[name] is None and not (group and name == VOLUME)
    ]
    if missing:
        said.append(f"{group or 'all pictures'}: too few cases for intervals of {', '.join(missing)}")
    return found


def _size(sizes: Measurements | None, name: str) -> float:
    # A lesion of one pixel has a short axis of nothing across; half a pixel is what a mask can tell.
    return max(0.5, float(getattr(sizes, name).value))


def _ends(errors: Sequence[float], spreads: Sequence[float], cases: Sequence[str], level: float) -> list[float] | None:
    if not errors:
        return None
    ends = conformal_interval(np.asarray(errors) / np.asarray(spreads), cases, level=level)
    if not all(math.isfinite(end) and abs(end) < LARGEST for end in ends) or not ends[0] < ends[1]:
        return None
    return [_rounded(end) for end in ends]


def _volumes(pictures: Sequence[JudgedPicture]) -> tuple[list[float], list[float], list[str]]:
    """Errors and spreads of the volume of each case with two views."""
    errors, spreads, cases = [], [], []
    for case in dict.fromkeys(each.case_id for each in pictures):
        views = [each for each in pictures if each.case_id == case]
        if len(views) == 2:
            errors.append(math.log(_volume([each.true for each in views]) / _volume([each.measured for each in views])))
            spreads.append(max(spread_of(each.signals.quality) for each in views))
            cases.append(case)
    return errors, spreads, cases


def _volume(views: Sequence[Measurements | None]) -> float:
    """The ellipsoid of two views in cubic pixels: of true and measured the ratio counts, which has no unit."""
    plane, across = sorted(views, key=lambda view: -_size(view, "long_axis"))
    return _size(plane, "long_axis") * _size(plane, "short_axis") * _size(across, "width")


def _familiarity(pictures: Sequence[JudgedPicture], flagged: float, said: list[str]) -> dict[str, Any] | None:
    features = [each.signals.features for each in pictures]
    if any(each is None for each in features):
        said.append("familiarity is not calibrated, for the pictures were not described")
        return None
    table, cases = np.stack(features), [each.case_id for each in pictures]  # type: ignore[arg-type]
    _, owner = np.unique(cases, return_inverse=True)
    fold = np.random.default_rng(0).permutation(owner.max() + 1)[owner] % FOLDS
    distances = np.zeros(len(table))
    for part in range(FOLDS):
        known = _spread(table[fold != part])
        distances[fold == part] = [squared_distance(row, *known) for row in table[fold == part]]
    limit = conformal_quantile(distances, cases, miss=flagged)
    if not math.isfinite(limit):
        said.append(f"familiarity: too few cases to flag {flagged:.0%}; the furthest is the limit")
        limit = float(distances.max())
    mean, scale, whitening = _spread(table)
    return {
        "mean": [_rounded(value) for value in mean],
        "scale": [_rounded(value) for value in scale],
        "whitening": [[_rounded(value) for value in row] for row in whitening],
        "limit": _rounded(limit),
        "flagged": flagged,
    }


def _spread(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, scale, and what decorrelates the standardised features."""
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), FLAT)
    standard = (table - mean) / scale
    correlation = (1 - SHRINKAGE) * (standard.T @ standard) / len(table) + SHRINKAGE * np.eye(table.shape[1])
    return mean, scale, np.linalg.inv(np.linalg.cholesky(correlation))


def _rounded(value: float) -> float:
    """Five digits are more than the cases tell."""
    return float(f"{value:.5g}")


def calibrate(
    segmenter: LesionSegmenter,
    manifest: Manifest,
    split: str,
    *,
    by: str | None = None,
    signal: str | None = None,
    point: OperatingPoint | None = None,
    output: str | Path | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> tuple[ModelDescription, list[str]]:
    """Calibrate a model folder on a split, and write that into its ``model.json``.

    Args:
        segmenter: of a model folder, in the runtime and precision that it will be used in.
        manifest: with the split, its files checked.
        split: name of the split; nothing may have been trained or chosen on it.
        by: see :func:`look`.
        signal: see :func:`look`.
        point: what to aim at.
        output: new folder for a copy with the calibration; None changes the model folder itself.
        progress: see :func:`look`.

    Returns:
        The description that was written, and what has to be said about the calibration.

    Raises:
        InputError: when the segmenter has no model folder, and see :func:`look` and :func:`fit`. Nothing is written.
        OSError: when the folder cannot be written.
    """
    if segmenter.folder is None:
        fix = "Export the network first, or name the folder of its training"
        raise InputError("calibration", "needs a model folder to write into", got="a network alone", fix=fix)
    target = segmenter.folder.path if output is None else Path(output)
    if output is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(target, "must be a new or empty folder", got="a folder with files in it")
    pictures = look(segmenter, manifest, split, by=by, signal=signal, progress=progress)
    scored = "scores" in segmenter.folder.description.outputs
    used = "scores" if scored and signal != "views" else "views"
    data = {"manifest": manifest.name[:200], "split": split, "manifest_sha256": file_sha256(manifest.path)}
    known = segmenter.folder.description
    calibration, said = fit(pictures, weights_id=known.weights_id, signal=used, data=data, by=by, point=point)
    description = replace(known, calibration=calibration)
    if output is not None:
        shutil.copytree(
            segmenter.folder.path,
            target,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.ckpt", FILE),
        )
    write_description(target, description)
    return description, said
