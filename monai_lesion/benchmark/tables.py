"""The table of a benchmark, its CSV file and the description of the machine."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from monai_lesion._version import __version__
from monai_lesion.benchmark.pareto import format_front
from monai_lesion.benchmark.rows import Outcome, Row
from monai_lesion.benchmark.settings import AVX2
from monai_lesion.benchmark.timings import BURST
from monai_lesion.machine.packages import versions
from monai_lesion.machine.processors import processor

HEADER = (
    "network",
    "runtime",
    "ms",
    "ms, 95 %",
    "images/s",
    "faster",
    "GFLOP/s",
    "of peak",
    "memory MB",
    "file MB",
    "same masks",
    "Dice change",
)


def format_rows(rows: Sequence[Row]) -> str:
    """The rows as Markdown; ``faster`` is against the plain way of the same network, in the same turns."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|" + "---:|" * (len(HEADER) - 2)]
    for row in rows:
        cells = [row.entry.name, row.way.name]
        if row.error:
            cells += ["failed"] + [""] * (len(HEADER) - 3)
        else:
            cells += [
                _number(row.milliseconds),
                _number(row.slow_milliseconds),
                _number(row.images_per_second),
                _shown(row.ratio, "{:.1f}x"),
                f"{row.gflops:.0f}",
                _shown(row.share, "{:.0%}"),
                _shown(row.megabytes, "{:.0f}"),
                _shown(row.file_megabytes, "{:.1f}"),
                _shown(row.agreement, "{:.4f}"),
                _shown(row.dice_change, "{:+.4f}"),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_outcome(outcome: Outcome, machine: dict[str, Any]) -> str:
    """Table, ceilings, circumstances and errors, as shown on screen and written to ``table.md``."""
    told = [format_rows(outcome.rows), ""]
    if len({row.entry for row in outcome.rows}) > 1:
        told += [format_front(outcome.rows), ""]
    ceilings = [f"{kind} {max(found.values()):.0f} ({max(found, key=lambda name: found[name])})"
                for kind, found in outcome.ceilings.items() if found]  # fmt: skip
    told.append(f"Peak of this machine, GFLOP/s, best of several kernels: {', '.join(ceilings) or 'not measured'}.")
    told.append(
        f"{machine['processor']}; {machine['threads']} threads; load {machine['load'][0]} to {machine['load'][-1]}; "
        f"batch 1, {machine['size']} x {machine['size']}, {machine['repeats']} turns of {BURST} images back to back."
    )
    trained = [row.entry.name for row in outcome.rows if row.entry.weights is not None]
    told.append(
        f"Masks: {machine['pictures']}, at the network's size. "
        + (f"Trained: {', '.join(dict.fromkeys(trained))}. " if trained else "")
        + "Untrained networks have random weights, so their masks say how exact a runtime is and nothing else."
    )
    failed = [f"{row.entry.name}, {row.way.name}: {row.error}" for row in outcome.rows if row.error]
    failed += [f"{name}: {error}" for name, error in outcome.errors.items()]
    return "\n".join(told + (["", "Failed:", *(f"- {each}" for each in failed)] if failed else []))


def to_csv(rows: Sequence[Row]) -> str:
    """The rows with all their digits."""
    out = io.StringIO()
    writer: Any = None
    for row in rows:
        measured = bool(row.times) and not row.error
        cells = {
            "network": row.entry.network,
            "width": row.entry.width,
            "weights": str(row.entry.weights or ""),
            "runtime": row.way.runtime,
            "precision": row.way.precision,
            "avx2_only": row.way.avx2,
            "parameters": row.costs.parameters,
            "gflop_published": row.costs.flops / 1e9,
            "gflop_run": row.flops / 1e9,
            "median_ms": row.milliseconds if measured else None,
            "p95_ms": row.slow_milliseconds if measured else None,
            "images_per_second": row.images_per_second if measured else None,
            "times_faster": row.ratio,
            "gflops": row.gflops if measured else None,
            "share_of_peak": row.share,
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


def describe_machine(outcome: Outcome, *, threads: int, repeats: int, size: int, pictures: str) -> dict[str, Any]:
    """What the figures belong to."""
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
        "load": outcome.load,
        "ceilings_gflops": outcome.ceilings,
        "avx2_environment": dict(AVX2),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
