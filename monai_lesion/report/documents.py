"""A report as a part of a Markdown document, made of records that are committed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.budgets import budget, missing
from monai_lesion.report.costs import network_costs
from monai_lesion.report.results import StudyResults, load_compared
from monai_lesion.report.tables import (
    Table,
    choices_table,
    comparisons_table,
    failures_table,
    provenance_table,
    results_table,
    trial_name,
)

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
CALIPERS = "calipers.csv"
EPOCHS = 20  # rows of a table of the training


def write_document(folders: Sequence[str | Path], page: str | Path, *, reference: str | None = None) -> Path:
    """Write the tables of studies or of kept records between the two marks of a Markdown document.

    The rest of the document stays as it is. The same records give the same text on every machine: no time is taken.

    Args:
        folders: of studies, or of kept records.
        page: a document with the lines ``<!-- generated: begin -->`` and ``<!-- generated: end -->``.
        reference: the network that the others are compared with; None for the first of each table.

    Raises:
        InputError: when the document has no such marks, the results cannot be compared, or the reference is unknown.
    """
    path = Path(page)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = "nothing there" if isinstance(error, FileNotFoundError) else error
        fix = f"Make it, with the lines {BEGIN} and {END} where the tables belong"
        raise InputError(page, "must be a readable document", got=got, fix=fix) from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        fix = f"Put the lines {BEGIN} and {END} where the tables belong"
        raise InputError(page, "must have a beginning and an end of what is generated, once", fix=fix)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with replacing(path) as partial:
        made = f"{before}{BEGIN}\n{document(folders, reference=reference)}{END}{after}"
        partial.write_text(made, encoding="utf-8", newline="")
    return path


def document(folders: Sequence[str | Path], *, reference: str | None = None) -> str:
    """The tables of studies or of kept records in Markdown, each study with its budget and never two in one table.

    Args:
        folders: as of :func:`write_document`.
        reference: as of :func:`write_document`.

    Raises:
        InputError: as :func:`write_document`.
    """
    studies = load_compared(folders, reference)
    parts = [part for study in studies for part in _section(study, reference)]
    for folder in map(Path, folders):
        parts += [_calipers(file) for file in sorted(folder.glob(f"*/{CALIPERS}"))]
    closing = (failures_table(studies), provenance_table(studies))
    parts += [f"## {table.title}\n\n{_bare(table)}" for table in closing if table is not None]
    return "\n".join(parts)


def _section(study: StudyResults, reference: str | None) -> list[str]:
    base, costs = study.reference(reference), network_costs(study.compared())
    told = " ".join([*budget(study), *missing(study)])
    tables = [comparisons_table(study, base), choices_table(study), *subgroup_tables(study), training_table(study)]
    parts = [f"## {study.title or study.name}\n\n{told}\n", _bare(results_table(study, costs))]
    return parts + [table.markdown() for table in tables if table is not None]


def _bare(table: Table) -> str:
    """A table below a heading that says what it is."""
    return replace(table, title="").markdown()


def subgroup_tables(study: StudyResults) -> list[Table]:
    """For trials that were evaluated by column (``--by``): means over the images of each group."""
    tables = []
    for tested in study.compared().values():
        for trial in tested:
            file = trial.folder / "summary.json"
            summary = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if not summary.get("by"):
                continue
            rows = [_group("all", summary)]
            for column, groups in summary["by"].items():
                rows += [_group(f"{column}: {name}", group) for name, group in groups.items()]
            columns = ["images", "n", "Dice", "Dice, median (quartiles)", "95 % HD, px", "95 % HD (MONAI), px"]
            note = "Mean ± standard deviation over the images, of one training."
            title = f"Groups of images, {trial_name(trial)}"
            tables.append(Table(title, [*columns, "missed", "false alarms"], rows, note))
    return tables


def _group(name: str, group: Mapping[str, Any]) -> list[str]:
    dice = group["dice"]
    quartiles = f"{_number(dice['median'], 3)} ({_number(dice['q25'], 3)} to {_number(dice['q75'], 3)})"
    spreads = [
        f"{_number(group[measure]['mean'], digits)} ± {_number(group[measure]['std'], digits)}"
        for measure, digits in (("dice", 3), ("hd95", 1), ("hd95_monai", 1))
    ]
    counts = [str(group["missed"]), str(group["false_alarms"])]
    return [name, str(group["n"]), spreads[0], quartiles, *spreads[1:], *counts]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def training_table(study: StudyResults) -> Table | None:
    """Losses by epoch, of one training in detail or of several side by side; None without logs."""
    logged = [t for tested in study.compared().values() for t in tested if t.log]
    if not logged:
        return None
    by_epoch = [{int(row["epoch"]): row for row in trial.log} for trial in logged]
    epochs = sorted({epoch for rows in by_epoch for epoch in rows})
    step = -(-len(epochs) // EPOCHS)
    chosen = [epoch for number, epoch in enumerate(epochs) if (len(epochs) - 1 - number) % step == 0]
    if len(logged) > 1:
        columns = ["epoch", *map(trial_name, logged)]
        cells = [[_loss(rows.get(epoch, {}), "val_loss") for rows in by_epoch] for epoch in chosen]
        title = "Validation loss by epoch"
    else:
        keys = ("train_loss", "val_loss", "val_mean_dice", "seconds")
        columns = ["epoch", "training loss", "validation loss", "validation Dice at the input's size", "minutes"]
        cells = [[_loss(by_epoch[0].get(epoch, {}), key) for key in keys] for epoch in chosen]
        title = "Training"
    rows = [[str(epoch), *row] for epoch, row in zip(chosen, cells, strict=True)]
    note = "The validation split; the test split had no part in it."
    return Table(title, columns, rows, note)


def _loss(row: Mapping[str, float], key: str) -> str:
    if key not in row:
        return ""
    return f"{row[key] / 60:.1f}" if key == "seconds" else f"{row[key]:.3f}"


def _calipers(file: Path) -> str:
    """A comparison of ``monai-lesion study calipers``, from its table of images."""
    from monai_lesion.study.calipers import format_comparison, in_words, read_comparison

    facts = json.loads((file.parent / "calipers.json").read_text(encoding="utf-8"))
    told = in_words({key: value for key, value in facts.items() if key not in ("changes", "title")})
    heading = f"## Calipers: {facts.get('title') or facts.get('network', file.parent.name)}"
    return f"{heading}\n\n{told}.\n\n{format_comparison(read_comparison(file))}\n"
