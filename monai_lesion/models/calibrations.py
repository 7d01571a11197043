"""The calibration of decision, trust and intervals that ``model.json`` carries; imports neither PyTorch nor MONAI.

::

    "calibration": {
      "weights_id": "1cd5...",                 of the network it was made with
      "signal": "scores",                      or "views": the agreement of three views, for a network without scores
      "data": {"manifest": ..., "split": ..., "cases": 105, "pictures": 166, "without_lesion": 4},
      "presence": {"threshold": 0.2, "lost": 0.03},                  below it nothing is found; null: not calibrated
      "trust": {"quality": [0, ..., 1], "dice": [0, ..., 1], "least": 0.7},          below least: doubtful
      "familiarity": {"mean": [...], "scale": [...], "whitening": [[...], ...], "limit": 1.1, "flagged": 0.05},  or null
      "intervals": {"level": 0.9, "by": "device", "groups": {"": {"cases": 101, "long_axis": [-0.4, 0.3], ...}}}
    }

The bounds of an interval are logarithms of the true size over the measured one, in units of
:func:`monai_lesion.measures.judgements.spread_of`. The group ``""`` pools all pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.measures.judgements import FEATURES, SIGNALS, SIZES

FIX = "Copy the folder again, or calibrate the network again (monai-lesion calibrate)"
VOLUME = "volume"
LARGEST = 20.0  # of a bound
HUGE = 1e30


def check_calibration(calibration: Any, weights_id: str, where: object) -> None:
    """Check a calibration from ``model.json``.

    Args:
        calibration: content of the key.
        weights_id: of the network in the folder.
        where: the file, for error messages.

    Raises:
        InputError: when it belongs to another network, lacks a key, or a value is out of range.
    """
    for name, (holds, rule) in RULES.items():
        if not isinstance(calibration, Mapping) or name not in calibration:
            raise InputError(where, f"calibration must give {name}", got="nothing", fix=FIX)
        if not holds(calibration[name]):
            raise InputError(where, f"calibration: {name} must be {rule}", got=_shown(calibration[name]), fix=FIX)
    if calibration["weights_id"] != weights_id:
        got = f"one of the network {str(calibration['weights_id'])[:12]}"
        rule = f"calibration must be of this network ({weights_id[:12]})"
        raise InputError(where, rule, got=got, fix=FIX)


def _number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= HUGE and low <= value <= high  # NaN fails too


def _numbers(value: Any, low: float = -math.inf, high: float = math.inf, most: int = 5000) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= most and all(_number(each, low, high) for each in value)


def _has(value: Any, **rules: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(key in value and rule(value[key]) for key, rule in rules.items())


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _share(value: Any) -> bool:
    return _number(value, 0, 1)


def _inner_share(value: Any) -> bool:
    return _share(value) and 0 < value < 1


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _data(value: Any) -> bool:
    return _has(value, manifest=_text, split=_text, cases=_count, pictures=_count, without_lesion=_count)


def _presence(value: Any) -> bool:
    return value is None or _has(value, threshold=_share, lost=_inner_share)


def _trust(value: Any) -> bool:
    if not _has(value, quality=lambda each: _numbers(each, 0, 1), dice=lambda each: _numbers(each, 0, 1), least=_share):
        return False
    places, values = value["quality"], value["dice"]
    rising = all(one < other for one, other in pairwise(places))
    return len(places) == len(values) and rising and values == sorted(values)


def _familiarity(value: Any) -> bool:
    if value is None:
        return True
    scale = _has(value, scale=lambda each: _features(each, 1e-12), mean=_features)
    limit = _has(value, limit=lambda each: _number(each, 1e-12), flagged=_inner_share)
    rows = value.get("whitening") if scale else None
    return scale and limit and isinstance(rows, list) and len(rows) == FEATURES and all(map(_features, rows))


def _features(value: Any, low: float = -HUGE) -> bool:
    return _numbers(value, low) and len(value) == FEATURES


def _bounds(value: Any) -> bool:
    return value is None or (_numbers(value, -LARGEST, LARGEST, 2) and len(value) == 2 and value[0] < value[1])


def _group(value: Any) -> bool:
    return _has(value, cases=_count, **dict.fromkeys((*SIZES, VOLUME), _bounds))


def _groups(value: Any) -> bool:
    return isinstance(value, Mapping) and "" in value and all(_text(k) and _group(v) for k, v in value.items())


def _intervals(value: Any) -> bool:
    return _has(value, level=_inner_share, by=lambda each: each is None or _text(each), groups=_groups)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "weights_id": (_text, "a text"),
    "signal": (lambda value: value in SIGNALS, f"one of {', '.join(SIGNALS)}"),
    "data": (_data, "the manifest, split and counts of the pictures it was made with"),
    "presence": (_presence, "null, or a threshold from 0 to 1 and the share of lesions lost"),
    "trust": (_trust, "a rising curve from quality to Dice, both from 0 to 1, and the least trust of a lesion"),
    "familiarity": (_familiarity, f"null, or mean, positive scale, whitening and limit of {FEATURES} features"),
    "intervals": (_intervals, "a level, a column or null, and groups with bounds, low before high; one is named ''"),
}


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
