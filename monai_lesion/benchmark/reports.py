"""Run a benchmark and write its files, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from monai_lesion.benchmark.candidates import Candidate
from monai_lesion.benchmark.pictures import Pictures
from monai_lesion.benchmark.plots import need_matplotlib, plot_rows
from monai_lesion.benchmark.settings import Setting
from monai_lesion.benchmark.tables import describe_machine, format_benchmark, to_csv
from monai_lesion.benchmark.timings import measure
from monai_lesion.errors import InputError
from monai_lesion.files import replacing_folder


def run_benchmark(
    candidates: Sequence[Candidate],
    settings: Sequence[Setting],
    pictures: Pictures,
    *,
    repeats: int,
    threads: int,
    output: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, int]:
    """Measure, and write ``table.md``, ``rows.csv``, ``plot.png`` and ``machine.json``.

    Args:
        candidates: the networks.
        settings: how to run them, besides plain PyTorch.
        pictures: what is segmented.
        repeats: number of turns.
        threads: threads of each process.
        output: new or empty folder; None writes nothing.
        say: called with lines of progress.

    Returns:
        The text for the screen, and the number of rows that failed.

    Raises:
        InputError: for a folder that is not empty.
    """
    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(output, "must be a new or empty folder", fix="Name another with --output")
        need_matplotlib()
    with TemporaryDirectory(prefix="monai-lesion-benchmark-") as scratch:
        rows, load = measure(
            candidates, settings, pictures, folder=Path(scratch), repeats=repeats, threads=threads, say=say
        )
    machine = describe_machine(load, threads=threads, repeats=repeats, size=pictures.size, pictures=pictures.name)
    text = format_benchmark(rows, machine)
    if output is not None:
        with replacing_folder(output) as partial:
            (partial / "table.md").write_text(text + "\n", encoding="utf-8")
            (partial / "rows.csv").write_text(to_csv(rows), encoding="utf-8")
            (partial / "machine.json").write_text(json.dumps(machine, indent=2) + "\n", encoding="utf-8")
            plot_rows(rows, partial / "plot.png")
    return text, sum(bool(row.error) for row in rows)
