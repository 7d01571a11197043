"""Apply the calibration that a model carries: decision, trust and intervals of a result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.judgements import (
    DECISIONS,
    SIZES,
    Signals,
    bounds_of,
    describe_picture,
    judge,
    signals_of,
    signals_of_views,
)
from monai_lesion.measures.sizes import CaseMeasurements, Measurements, Quantity, measure
from monai_lesion.models.calibrations import VOLUME

Mask = NDArray[np.uint8]
UNCALIBRATED = "decision, trust and intervals are null"
RESEARCH_WORDS = {"lesion": "Lesion", "doubtful": "Doubtful", "nothing found": "Nothing found"}


@dataclass(frozen=True)
class Verdict:
    """How far the mask of a result is to be believed.

    Attributes:
        decision: ``"lesion"``, ``"doubtful"`` or ``"nothing found"``.
        trust: the estimated Dice of the mask with its reference, 0 to 1; None where nothing is found.
        unfamiliar: whether the picture is unlike those of the calibration; it then has no intervals.
        quality: the signal behind the trust.
        calibration: as ``model.json`` holds it.
        group: the group of the picture that the intervals are for; ``""`` for all.
    """

    decision: str
    trust: float | None
    unfamiliar: bool
    quality: float
    calibration: Mapping[str, Any] = field(repr=False)
    group: str = ""

    def intervals(self, found: Measurements | None) -> dict[str, Interval] | None:
        """The intervals of the sizes that were measured, by name; None where there are none."""
        if not found or self.unfamiliar or self.decision == "nothing found":
            return None
        sizes = {name: getattr(found, name) for name in SIZES}
        ends = {name: _interval(self, name, size, self.quality) for name, size in sizes.items()}
        return {name: each for name, each in ends.items() if each is not None} or None

    def words(self) -> str:
        """For example ``Doubtful, trust 0.42, unlike the pictures it was calibrated with``."""
        text = RESEARCH_WORDS[self.decision]
        if self.trust is not None:
            text += f", trust {self.trust:.2f}"
        return f"{text}, unlike the pictures it was calibrated with" if self.unfamiliar else text


def volume_interval(case: CaseMeasurements, verdicts: Sequence[Verdict | None]) -> Interval | None:
    """The interval of a case's volume in millilitres; None without a volume, or where a view has no interval.

    Args:
        case: from :func:`monai_lesion.measures.sizes.measure_case`.
        verdicts: of its two views.
    """
    volume, known = case.volume_ml, [each for each in verdicts if each is not None]
    wanting = len(known) < 2 or any(each.unfamiliar or each.decision == "nothing found" for each in known)
    if volume is None or wanting:
        return None
    return _interval(known[0], VOLUME, volume, min(each.quality for each in known))


def _interval(verdict: Verdict, name: str, size: Quantity, quality: float) -> Interval | None:
    factors = bounds_of(verdict.calibration, name, quality, verdict.group)
    if factors is None:
        return None
    low, high = (Quantity(size.value * factor, size.unit) for factor in factors)
    return Interval(low, high, float(verdict.calibration["intervals"]["level"]))


@dataclass(frozen=True)
class Trust:
    """What turns the signals of a network into verdicts.

    Args:
        calibration: from ``model.json``, already checked.
        group: the group of every picture, such as a scanner; None takes that of the picture's header.

    Raises:
        InputError: when the calibration has no such group.
    """

    calibration: Mapping[str, Any]
    group: str | None = None

    def __post_init__(self) -> None:
        if self.group is not None and self.group not in self.groups:
            known = ", ".join(name for name in self.groups if name) or "none; all pictures are pooled"
            raise InputError("group", f"must be one that the model was calibrated for: {known}", got=self.group)

    @property
    def identity(self) -> str:
        """The calibration and the group, shortened, by which results of two of them are told apart."""
        known = json.dumps([dict(self.calibration), self.group], sort_keys=True, default=str)
        return sha256(known.encode()).hexdigest()[:12]

    @property
    def groups(self) -> list[str]:
        """The groups with intervals of their own; ``""`` for all pictures."""
        return list(self.calibration["intervals"]["groups"])

    def signals(
        self, mask: Mask, scores: NDArray[np.float32] | None, pixels: NDArray[np.uint8], segment: Callable[[Any], Mask]
    ) -> Signals:
        """The signals of a picture; three views take two more runs of the network, through ``segment``."""
        features = None if self.calibration["familiarity"] is None else describe_picture(pixels)
        if self.calibration["signal"] == "views":
            return signals_of_views(mask, pixels, segment, features)
        if scores is None:
            rule = "was calibrated by its scores, which must be among its outputs"
            raise InputError("network", rule, got="none", fix="Calibrate it again (monai-lesion calibrate)")
        return signals_of(scores, features)

    def verdict(self, signals: Signals, *, found: bool, scanner: str = "") -> Verdict:
        """Judge a picture.

        Args:
            signals: from :meth:`signals`.
            found: whether its mask has a pixel.
            scanner: the scanner that its header names, which chooses the group if none was given.
        """
        group = self.group
        if group is None:
            alike = [name for name in self.groups if name and name.casefold() == scanner.casefold()]
            group = alike[0] if alike else ""
        return Verdict(*judge(self.calibration, signals, found=found), self.calibration, group)

    def __str__(self) -> str:
        data = self.calibration["data"]
        text = f"calibrated on {data['manifest']}, {data['split']} split, {data['cases']} cases"
        if self.calibration["presence"] is None:
            text += "; presence is not calibrated, so no mask is taken back"
        return text


def judged_columns(
    trust: Trust,
    signals: Signals,
    mask: NDArray[Any],
    label: NDArray[Any],
    entry: Mapping[str, Any],
) -> dict[str, Any]:
    """What the table of an evaluation says of a picture: signals, decision, trust, and whether its intervals held.

    Args:
        trust: the calibration.
        signals: of the network.
        mask: ``(H, W)``, as the network drew it.
        label: ``(H, W)``, the reference.
        entry: the picture's in the manifest, whose column of the calibration names its group.
    """
    measured, true = (measure(each) if each.any() else None for each in (mask, label))
    return columns_of_sizes(
        trust, signals, measured, true, str(entry.get(str(trust.calibration["intervals"]["by"])) or "")
    )


def columns_of_sizes(
    trust: Trust, signals: Signals, measured: Measurements | None, true: Measurements | None, group: str
) -> dict[str, Any]:
    """The columns of :func:`judged_columns`, from the sizes of mask and reference; None where one is empty."""
    verdict = trust.verdict(signals, found=measured is not None, scanner=group)
    intervals = (verdict.intervals(measured) if measured else None) or {}
    columns: dict[str, Any] = {
        "presence": round(signals.presence, 6),
        "quality": round(signals.quality, 6),
        "decision": verdict.decision,
        "trust": None if verdict.trust is None else round(verdict.trust, 6),
    }
    for name in SIZES:
        interval, size = intervals.get(name), getattr(true, name).value if true else None
        held = interval is not None and size is not None and interval.low.value <= size <= interval.high.value
        columns[f"{name}_inside"] = held if interval is not None and size is not None else None
    return columns


def count_decisions(verdicts: Sequence[Verdict | None]) -> str:
    """Count decisions in words; empty where there are none.

    Example:
        >>> count_decisions([None])
        ''
    """
    made = [each.decision for each in verdicts if each is not None]
    return ", ".join(f"{made.count(name)} {name}" for name in DECISIONS if made.count(name))
