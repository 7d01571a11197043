"""Make the tables and the CSV file of a benchmark, and describe the machine."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from monai_lesion._version import __version__
from monai_lesion.benchmark.rows import Row
from monai_lesion.benchmark.settings import PLAIN
from monai_lesion.benchmark.timings import BURST
from monai_lesion.machine.packages import versions
from monai_lesion.machine.processors import processor
from monai_lesion.report.plots import pareto_front
from monai_lesion.report.tables import Table


def rows_table(rows: Sequence[Row]) -> Table:
    """List all rows; ``faster`` compares with plain PyTorch on the same network, in the same turns."""
    columns = ["network", "runtime", "ms", "ms, 95 %", "images/s", "faster", "GFLOP/s"]
    columns += ["memory MB", "file MB", "same masks", "Dice change"]
    lines = []
    for row in rows:
        cells = [row.candidate.name, row.setting.name]
        if row.measured:
            cells += [_three(value) for value in (row.milliseconds, row.slow_milliseconds, row.images_per_second)]
            cells += [_shown(row.ratio, "{:.1f}x"), f"{row.gflops:.0f}", _shown(row.megabytes, "{:.0f}")]
            cells += [_shown(row.file_megabytes, "{:.1f}"), _shown(row.agreement, "{:.4f}")]
            cells += [_shown(row.dice_change, "{:+.4f}")]
        else:
            cells += ["failed"] + [""] * (len(columns) - 3)
        lines.append(cells)
    return Table("", columns, lines, words=(0, 1))


def front_table(rows: Sequence[Row]) -> Table:
    """List each network's fastest row, without plain PyTorch, by time, with the Pareto front in bold.

    The front weighs time against Dice if all networks are trained, otherwise against parameters, the paper's measure of
    what a network can learn.
    """
    best = sorted(_fastest(rows), key=lambda row: row.milliseconds)
    dice = bool(best) and all(row.dice is not None for row in best)
    worth = [row.dice if dice and row.dice is not None else float(row.costs.parameters) for row in best]
    front = pareto_front([(row.milliseconds, value) for row, value in zip(best, worth, strict=True)])
    lines = [
        [
            f"**{row.candidate.name}**" if number in front else row.candidate.name,
            f"{row.costs.parameters:,}",
            f"{row.costs.flops / 1e9:.2f}",
            _shown(row.dice, "{:.3f}"),
            row.setting.name,
            f"{row.milliseconds:.1f}",
        ]
        for number, row in enumerate(best)
    ]
    note = f"Bold: no network with {'a higher Dice' if dice else 'more parameters'} is as fast. GFLOP as published."
    return Table("", ["network", "parameters", "GFLOP", "Dice", "fastest", "ms"], lines, note, words=(0, 4))


def _fastest(rows: Sequence[Row]) -> list[Row]:
    found = []
    for name in dict.fromkeys(row.candidate.name for row in rows if row.measured):
        own = [row for row in rows if row.candidate.name == name and row.measured]
        found.append(min([row for row in own if row.setting != PLAIN] or own, key=lambda row: row.milliseconds))
    return found


def format_benchmark(rows: Sequence[Row], machine: dict[str, Any]) -> str:
    """Format tables, circumstances and errors for the screen and ``table.md``."""
    told = [rows_table(rows).markdown()]
    if len({row.candidate for row in rows}) > 1:
        told.append(front_table(rows).markdown())
    told.append(
        f"{machine['processor']}; {machine['threads']} threads; load {machine['load'][0]} to {machine['load'][-1]}; "
        f"batch 1, {machine['size']} x {machine['size']}, {machine['repeats']} turns of {BURST} images back to back."
    )
    trained = dict.fromkeys(row.candidate.name for row in rows if row.candidate.weights is not None)
    told.append(
        f"Masks: {machine['pictures']}, at the network's size. "
        + (f"Trained: {', '.join(trained)}. " if trained else "")
        + "Untrained networks have random weights, so their masks say how exact a runtime is and nothing else."
    )
    failed = [f"- {row.candidate.name}, {row.setting.name}: {row.error}" for row in rows if row.error]
    return "\n".join(told + (["", "Failed:", *failed] if failed else []))


def to_csv(rows: Sequence[Row]) -> str:
    """Write the rows as CSV with all their digits."""
    out = io.StringIO()
    writer: Any = None
    for row in rows:
        cells = {
            "network": row.candidate.network,
            "width": row.candidate.width,
            "weights": str(row.candidate.weights or ""),
            "runtime": row.setting.runtime,
            "precision": row.setting.precision,
            "parameters": row.costs.parameters,
            "gflop_published": row.costs.flops / 1e9,
            "gflop_run": row.flops / 1e9,
            "median_ms": row.milliseconds if row.measured else None,
            "p95_ms": row.slow_milliseconds if row.measured else None,
            "images_per_second": row.images_per_second if row.measured else None,
            "times_faster": row.ratio,
            "gflops": row.gflops if row.measured else None,
            "peak_memory_mb": row.megabytes,
            "file_mb": row.file_megabytes,
            "mask_dice_with_plain": row.agreement,
            "dice": row.dice,
            "dice_change": row.dice_change,
            "instructions": row.instructions,
            "error": row.error,
        }
        if writer is None:
            writer = csv.DictWriter(out, list(cells), lineterminator="\n")
            writer.writeheader()
        writer.writerow(cells)
    return out.getvalue()


def describe_machine(load: list[float], *, threads: int, repeats: int, size: int, pictures: str) -> dict[str, Any]:
    """Describe the machine that the figures come from."""
    return {
        "processor": str(processor()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            "monai_lesion": __version__,
            **versions(["torch", "onnxruntime", "openvino", "nncf", "numpy"]),
        },
        "threads": threads,
        "repeats": repeats,
        "images_a_turn": BURST,
        "size": size,
        "pictures": pictures,
        "load": load,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
