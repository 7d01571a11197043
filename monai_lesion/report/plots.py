"""Draw the plots of a report: Dice against cost, box plots, learning curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.comparisons import spread, stack
from monai_lesion.report.costs import Costs
from monai_lesion.report.point_labels import label_points
from monai_lesion.report.studies import StudyRecords

BLUE, GREY, ORANGE = "#1f5a96", "#8a8f98", "#c8641e"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other beats by being as cheap and better, or cheaper and as good.

    Args:
        points: cost and quality of each.

    Returns:
        Their indices, cheapest first.

    Example:
        >>> pareto_front([(3, 0.9), (1, 0.8), (2, 0.7), (4, 0.9)])
        [1, 0]
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def draw_plots(study: StudyRecords, costs: Mapping[str, Costs], folder: Path) -> list[tuple[str, Path]]:
    """Draw the plots of a study as SVG files, each with its caption.

    Args:
        study: with at least one tested network.
        costs: costs of its networks.
        folder: folder for the files.

    Raises:
        InputError: when Matplotlib is not installed.
    """
    drawn = {
        "Dice against cost. Orange: no other network is as cheap and better. Bars: 95 % interval over cases.": (
            plot_costs(study, costs, folder / f"{study.name}_costs.svg")
        ),
        "Every test image, seeds averaged: box from the lower to the upper quartile, orange the median.": (
            plot_boxes(study, folder / f"{study.name}_boxes.svg")
        ),
        "Loss by epoch. Grey: training; blue: validation; strong lines: the networks that were tested.": (
            plot_curves(study, folder / f"{study.name}_curves.svg")
        ),
    }
    return [(caption, path) for caption, path in drawn.items() if path is not None]


def plot_costs(study: StudyRecords, costs: Mapping[str, Costs], path: Path) -> Path | None:
    """Plot Dice against parameters, arithmetic and milliseconds and mark the Pareto front; None for fewer than two."""
    networks = {name: trials for name, trials in study.compared().items() if name in costs}
    if len(networks) < 2 or study.table == "ladder":
        return None
    axes: list[tuple[str, Callable[[Costs], float | None]]] = [
        ("million parameters", lambda cost: cost.parameters / 1e6),
        ("GFLOP for one image", lambda cost: cost.flops / 1e9),
        ("milliseconds on this CPU", lambda cost: cost.milliseconds),
    ]
    if any(costs[name].milliseconds is None for name in networks):
        axes.pop()
    spreads = {name: spread(trials, "dice") for name, trials in networks.items()}
    _need_matplotlib()

    def draw(figure: Any) -> None:
        drawn = []
        for number, (label, measure) in enumerate(axes):
            axis = figure.add_subplot(1, len(axes), number + 1)
            points = [(float(measure(costs[name]) or 0.0), spreads[name].mean) for name in networks]
            front = pareto_front(points)
            axis.plot(*zip(*[points[i] for i in front], strict=True), color=ORANGE, lw=1.2, zorder=1)
            for index, (name, (x, y)) in enumerate(zip(networks, points, strict=True)):
                low, high = spreads[name].low, spreads[name].high
                colour = ORANGE if index in front else BLUE
                axis.errorbar(x, y, [[max(0, y - low)], [max(0, high - y)]], fmt="o", ms=5, color=colour, lw=0.8)
            axis.set_xscale("log")
            _name_ticks(axis.xaxis, [x for x, _ in points])
            axis.set_xlabel(label)
            if number == 0:
                axis.set_ylabel("Dice, mean and 95 % interval over cases")
            axis.margins(x=0.18)
            axis.grid(alpha=0.25)
            drawn.append((axis, points))
        for axis, points in drawn:  # when all are there, for they move each other
            label_points(axis, [_short(name) for name in networks], points)

    return save_figure(draw, path, (4.2 * len(axes), 3.9))


def plot_boxes(study: StudyRecords, path: Path) -> Path:
    """Plot Dice and 95 % Hausdorff distance of every image, averaged over seeds."""
    import numpy as np

    networks = study.compared()

    def draw(figure: Any) -> None:
        for number, (measure, label) in enumerate((("dice", "Dice"), ("hd95", "95 % HD, px (where found)"))):
            axis = figure.add_subplot(1, 2, number + 1)
            columns = []
            for trials in networks.values():
                values = stack(trials, measure)
                columns.append(np.nanmean(values[:, ~np.isnan(values).all(axis=0)], axis=0))
            boxes = axis.boxplot(columns, vert=False, widths=0.6, patch_artist=True, flierprops={"ms": 2.5})
            for box in boxes["boxes"]:
                box.set(facecolor="#dbe7f3", edgecolor=BLUE)
            for median in boxes["medians"]:
                median.set(color=ORANGE, lw=1.5)
            axis.set_yticks(range(1, len(networks) + 1), list(networks) if number == 0 else [""] * len(networks))
            axis.invert_yaxis()
            axis.set_xlabel(label)
            axis.grid(axis="x", alpha=0.25)

    return save_figure(draw, path, (11, 1.3 + 0.36 * len(networks)))


def plot_curves(study: StudyRecords, path: Path) -> Path | None:
    """Plot training and validation loss of every training, one panel per network; None without logs."""
    logged = [trial for trial in study.trials if trial.log]
    entries = [entry for entry in study.entries if any(trial.entry == entry for trial in logged)]
    if not entries:
        return None
    columns = min(3, len(entries))
    rows = -(-len(entries) // columns)
    _need_matplotlib()
    from matplotlib.ticker import MaxNLocator

    losses = [row[key] for trial in logged for row in trial.log for key in ("train_loss", "val_loss") if key in row]
    drawable = [loss for loss in losses if 0 < loss < math.inf] or [1.0]

    def draw(figure: Any) -> None:
        for number, entry in enumerate(entries):
            axis = figure.add_subplot(rows, columns, number + 1)
            for trial in (trial for trial in logged if trial.entry == entry):
                epochs = [row["epoch"] for row in trial.log]
                mark = "." if len(epochs) == 1 else None
                final = bool(trial.images)
                style = {"lw": 1.3 if final else 0.8, "alpha": 1.0 if final else 0.45, "marker": mark}
                axis.plot(epochs, [row["train_loss"] for row in trial.log], color=GREY, **style)
                seen = [row for row in trial.log if "val_loss" in row]  # not each epoch need be validated
                axis.plot([row["epoch"] for row in seen], [row["val_loss"] for row in seen], color=BLUE, **style)
            axis.set_title(entry, fontsize=9)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.set_yscale("log")  # or a first epoch far off flattens all others
            axis.set_ylim(min(drawable) / 1.1, max(drawable) * 1.1)
            _name_ticks(axis.yaxis, drawable)
            axis.grid(alpha=0.25)
            axis.tick_params(labelsize=7)
            if number >= len(entries) - columns:
                axis.set_xlabel("epoch", fontsize=8)
            if number % columns == 0:
                axis.set_ylabel("loss", fontsize=8)
        figure.axes[0].plot([], [], color=GREY, label="training")
        figure.axes[0].plot([], [], color=BLUE, label="validation")
        figure.axes[0].legend(fontsize=7, frameon=False)

    return save_figure(draw, path, (3.7 * columns, 2.5 * rows))


def _name_ticks(axis: Any, values: Sequence[float]) -> None:
    """Numbers as one writes them on a logarithmic axis, at 1, 2 and 5 unless that would leave one tick."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    narrow = max(values) < 4 * min(values)
    axis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("the report", "needs Matplotlib", fix="pip install 'monai-lesion[study]'") from error


def _short(name: str) -> str:
    return name.replace("Lighter U-net ", "").replace("DeepLab v3+ ", "")


def save_figure(draw: Callable[[Any], None], path: Path, size: tuple[float, float]) -> Path:
    """Draw a figure into a file, whole or not at all.

    Args:
        draw: draws on the figure it is given.
        path: SVG file.
        size: width and height in inches.

    Raises:
        InputError: when Matplotlib is not installed.
    """
    _need_matplotlib()
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    draw(figure)
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
