"""Plot parameters, or Dice if all networks are trained, against milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_lesion.benchmark.rows import Row
from monai_lesion.errors import InputError
from monai_lesion.report.point_labels import label_points

COLOURS = ("#8a8f98", "#1f5a96", "#c8641e", "#2d8659", "#7a4ea3")
MARKS = {"fp32": "o", "bf16": "s", "int8": "^"}


def need_matplotlib() -> None:
    """Check that plots can be drawn, before anything is measured.

    Raises:
        InputError: when Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        fix = "pip install 'monai-lesion[study]', or leave --output out"
        raise InputError("--output", "needs Matplotlib for its plot", fix=fix) from error


def plot_rows(rows: Sequence[Row], path: Path) -> Path:
    """Draw the measured rows: one colour per runtime, one mark per precision.

    Args:
        rows: measured rows; those that failed are left out.
        path: PNG file to write.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.measured]
    dice = bool(shown) and all(row.dice is not None for row in shown)
    names = list(dict.fromkeys(row.candidate.name for row in shown))
    figure = Figure(figsize=(9.2, max(4.6, 1.6 + 0.27 * len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    axis: Any = figure.add_subplot()
    colours = dict(zip(dict.fromkeys(row.setting.runtime for row in shown), COLOURS, strict=False))
    handles: dict[str, Any] = {}
    for row in shown:
        colour = colours[row.setting.runtime]
        look = {"marker": MARKS[row.setting.precision], "color": colour, "ms": 7, "ls": "", "alpha": 0.85}
        (drawn,) = axis.plot([row.milliseconds], [_height(row, dice)], **look)
        handles.setdefault(row.setting.name, drawn)
    _scale(axis.xaxis, [row.milliseconds for row in shown], wide=2.4)  # for the names
    if dice:
        axis.margins(y=0.15)
    else:
        _scale(axis.yaxis, [_height(row, dice) for row in shown], wide=1.3)
    axis.set_xlabel("milliseconds for one image, median")
    axis.set_ylabel("mean Dice" if dice else "million parameters")
    axis.grid(alpha=0.25, which="both")
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=8, frameon=False)
    places = {
        name: [(row.milliseconds, _height(row, dice)) for row in shown if row.candidate.name == name] for name in names
    }
    others = [place for each in places.values() for place in each]
    label_points(axis, names, [max(places[name]) for name in names], others=others, size=8)
    figure.savefig(path, format="png", dpi=130)
    return path


def _height(row: Row, dice: bool) -> float:
    return row.dice if dice and row.dice is not None else row.costs.parameters / 1e6


def _scale(axis: Any, values: Sequence[float], *, wide: float) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if values:
        low, high = min(values) / 1.3, max(values) * wide
        axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})
        ticks = [step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5)]
        axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
