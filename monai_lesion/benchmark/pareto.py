"""Which networks are worth their time: nothing else is faster and has more to offer."""

from __future__ import annotations

from collections.abc import Sequence

from monai_lesion.benchmark.rows import Row
from monai_lesion.benchmark.settings import PLAIN
from monai_lesion.report.plots import pareto_front


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point, milliseconds and worth, is on the front of :func:`monai_lesion.report.plots.pareto_front`.

    Example:
        >>> on_front([(10.0, 0.5), (20.0, 0.9), (15.0, 0.4)])
        [True, True, False]
    """
    front = pareto_front(points)
    return [number in front for number in range(len(points))]


def fastest_rows(rows: Sequence[Row]) -> list[Row]:
    """The fastest row of each network, without the plain way unless there is no other."""
    measured = [row for row in rows if row.times and not row.error]
    found = []
    for name in dict.fromkeys(row.entry.name for row in measured):
        own = [row for row in measured if row.entry.name == name]
        found.append(min([row for row in own if row.way != PLAIN] or own, key=lambda row: row.milliseconds))
    return found


def format_front(rows: Sequence[Row]) -> str:
    """Each network in its fastest row as Markdown, in the order of time, with what is on the front in bold.

    What a network has to offer is its Dice where all of them are trained, and else its parameters, the paper's measure
    of what it can learn.
    """
    best = sorted(fastest_rows(rows), key=lambda row: row.milliseconds)
    dice = bool(best) and all(row.dice is not None for row in best)
    worth = [row.dice if dice and row.dice is not None else float(row.costs.parameters) for row in best]
    fronts = on_front([(row.milliseconds, value) for row, value in zip(best, worth, strict=True)])
    lines = [
        "| network | parameters | GFLOP | Dice | fastest | ms |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for row, front in zip(best, fronts, strict=True):
        name = f"**{row.entry.name}**" if front else row.entry.name
        shown = "" if row.dice is None else f"{row.dice:.3f}"
        cells = f"{row.costs.parameters:,} | {row.costs.flops / 1e9:.2f} | {shown} | {row.way.name}"
        lines.append(f"| {name} | {cells} | {row.milliseconds:.1f} |")
    offer = "a higher Dice" if dice else "more parameters"
    return "\n".join([*lines, "", f"Bold: no network with {offer} is as fast. GFLOP as published."])
