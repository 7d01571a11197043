"""How good decisions, trust and intervals were, over scored images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_lesion.measures.judgements import DECISIONS, SIZES
from monai_lesion.measures.lesions import has_lesion
from monai_lesion.measures.quantiles import proportion_interval
from monai_lesion.measures.reliability import auc, calibration_error, rank_correlation, risk_coverage

JUDGED = ("presence", "quality", "decision", "trust")  # columns of an image
INSIDE = tuple(f"{name}_inside" for name in SIZES)  # whether the true size lies in its interval
POOR = 0.5  # Dice of a mask that nobody wants
MOST = 0.8  # share that is trusted most

Row = Mapping[str, Any]


def summarise_decisions(rows: Sequence[Row]) -> dict[str, Any]:
    """Count decisions, lost lesions and false alarms, and judge trust and intervals.

    Args:
        rows: scored images with the columns :data:`JUDGED` and :data:`INSIDE`; Dice is that of the mask as the network
            drew it, also where the decision takes it back. The result is empty if one has no decision.

    Returns:
        ``with_lesion`` and ``without_lesion``: how many of each decision; ``lost`` and ``false_alarms``: ``{"n",
        "count", "share", "low", "high"}`` with the exact 95 % interval, of lesions where nothing is found, and of
        pictures without a lesion where something is; ``auc_presence``; ``spearman`` of trust and Dice; ``auc_poor``:
        how well trust flags a Dice below 0.5; ``calibration_error``; ``risk_coverage_area``; ``dice_of_trusted``: of
        the 80 % that are trusted most; ``coverage``: of each interval as ``lost``. What cannot be computed is nan.
    """
    if not rows or not all(row.get("decision") for row in rows):
        return {}
    with_lesion = [row for row in rows if has_lesion(row)]
    without = [row for row in rows if not has_lesion(row)]
    quality = np.array([float(row["quality"]) for row in with_lesion])
    dice = np.array([float(row["dice"]) for row in with_lesion])
    trusted = [row for row in with_lesion if str(row["trust"] if row["trust"] is not None else "")]
    told = [float(row["trust"]) for row in trusted], [float(row["dice"]) for row in trusted]
    first = np.argsort(-quality, kind="stable")[: round(MOST * len(quality))]
    inside = {
        name: [bool(int(row[column])) for row in with_lesion if str(row.get(column, "")) not in ("", "None")]
        for name, column in zip(SIZES, INSIDE, strict=True)
    }
    found = [row["decision"] != "nothing found" for row in without]
    return {
        "with_lesion": _counted(with_lesion),
        "without_lesion": _counted(without),
        "lost": share_of([row["decision"] == "nothing found" for row in with_lesion]),
        "false_alarms": share_of(found),
        "auc_presence": auc(*([float(row["presence"]) for row in part] for part in (with_lesion, without))),
        "spearman": rank_correlation(quality, dice) if len(dice) else math.nan,
        "auc_poor": auc(-quality[dice < POOR], -quality[dice >= POOR]),
        "calibration_error": calibration_error(*told) if trusted else math.nan,
        "risk_coverage_area": risk_coverage(quality, dice).area if len(dice) else math.nan,
        "dice_of_trusted": float(dice[first].mean()) if len(first) else math.nan,
        "coverage": {name: share_of(flags) for name, flags in inside.items()},
    }


def share_of(flags: Sequence[bool]) -> dict[str, Any]:
    """Count and share of true flags, with the exact 95 % interval of the share; nan without any flag.

    Example:
        >>> share_of([True, False])["share"]
        0.5
    """
    n, count = len(flags), sum(flags)
    low, high = proportion_interval(count, n)
    return {"n": n, "count": count, "share": count / n if n else math.nan, "low": low, "high": high}


def _counted(rows: Sequence[Row]) -> dict[str, int]:
    return {name: sum(row["decision"] == name for row in rows) for name in DECISIONS}


def format_decisions(summary: Mapping[str, Any]) -> str:
    """Format a summary of :func:`summarise_decisions` as lines of text; empty for an empty one."""
    if not summary:
        return ""
    lines = [
        f"decisions with a lesion: {_listed(summary['with_lesion'])}",
        f"decisions without a lesion: {_listed(summary['without_lesion'])}",
        f"lesions lost: {share_text(summary['lost'])}",
        f"false alarms without a lesion: {share_text(summary['false_alarms'])}; "
        f"AUC of presence {_number(summary['auc_presence'])}",
        f"trust against Dice: Spearman {_number(summary['spearman'])}, AUC for Dice < {POOR} "
        f"{_number(summary['auc_poor'])}, calibration error {_number(summary['calibration_error'])}, "
        f"{MOST:.0%} most trusted: Dice {_number(summary['dice_of_trusted'])}",
        "intervals hold: "
        + ", ".join(f"{name.replace('_', ' ')} {share_text(each)}" for name, each in summary["coverage"].items()),
    ]
    return "\n".join(lines)


def share_text(share: Mapping[str, Any]) -> str:
    """For example ``3 of 100 (3.0 %, 0.6-8.5 %)``."""
    if not share["n"]:
        return "0 of 0"
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{share['count']} of {share['n']} ({100 * share['share']:.1f} %, {low:.1f}-{high:.1f} %)"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
