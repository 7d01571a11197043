"""Plots of trust: whether it is the Dice that it says, and what is gained by believing only some masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.measures.lesions import has_lesion
from monai_lesion.measures.reliability import calibration_error, reliability, risk_coverage
from monai_lesion.report.plots import BLUE, GREY, ORANGE, save_figure
from monai_lesion.report.studies import StudyRecords

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]  # signal and Dice of each picture with a lesion
COLOURS = (BLUE, ORANGE, "#3a8f5c", "#8a4fa3", GREY)
MOST = 5  # networks that one plot can show


def trust_of(study: StudyRecords, column: str) -> dict[str, Pair]:
    """Trust or quality, and Dice, of every test image with a lesion that has it, by network.

    Args:
        study: with tested networks, of which some may have been calibrated.
        column: ``"trust"`` or ``"quality"``.
    """
    found: dict[str, Pair] = {}
    for name, trials in study.compared().items():
        rows = [row for trial in trials for row in trial.images if has_lesion(row) and str(row.get(column) or "")]
        if rows:
            found[name] = np.array([float(row[column]) for row in rows]), np.array([float(row["dice"]) for row in rows])
    return found


def plot_trust(study: StudyRecords, path: Path) -> Path | None:
    """Reliability diagram, and risk-coverage curve with its area; None where no network was calibrated.

    Args:
        study: with at least one tested network.
        path: SVG file.

    Raises:
        InputError: when Matplotlib is not installed.
    """
    trusted, ranked = trust_of(study, "trust"), trust_of(study, "quality")
    if not trusted:
        return None

    def draw(figure: Any) -> None:
        left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        left.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
        for colour, (name, (trust, dice)) in zip(COLOURS, list(trusted.items())[:MOST], strict=False):
            bins = reliability(trust, dice)
            label = f"{name}, error {calibration_error(trust, dice):.3f}"
            points = [each.estimate for each in bins], [each.outcome for each in bins]
            left.plot(*points, "o-", ms=4, color=colour, label=label)
        for colour, (name, (quality, dice)) in zip(COLOURS, list(ranked.items())[:MOST], strict=False):
            curve = risk_coverage(quality, dice)
            right.plot(curve.coverage, curve.risk, color=colour, label=f"{name}, area {curve.area:.3f}")
        left.set_xlabel("trust, the estimated Dice")
        left.set_ylabel("mean Dice, ten bins of equal numbers")
        right.set_xlabel("share of the pictures with a lesion, most trusted first")
        right.set_ylabel("mean 1 - Dice")
        right.set_ylim(bottom=0)
        for axis in (left, right):
            axis.grid(alpha=0.25)
            axis.legend(fontsize=7, frameon=False)

    return save_figure(draw, path, (9.6, 4.0))


def draw_trust(study: StudyRecords, folder: Path) -> list[tuple[str, Path]]:
    """The plot of :func:`plot_trust` with its caption, where there is one."""
    path = plot_trust(study, folder / f"{study.name}_trust.svg")
    caption = (
        "Trust. Left: reliability, on the dashed line the mean Dice is as estimated. Right: risk and coverage, the "
        "smaller the area the better. Dice is that of the masks as drawn, also where the decision takes them back."
    )
    return [] if path is None else [(caption, path)]
