"""Tables of scored images that do not hide failures.

A missed lesion has no Hausdorff distance, so a mean over the rest improves with every miss. Each mean here is therefore
shown with the number of failures.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.measures.decisions import INSIDE, JUDGED, summarise_decisions
from monai_lesion.measures.lesions import COUNTS, has_lesion, lesion_cells, summarise_lesions
from monai_lesion.measures.metrics import FAILURES, MEASURES

Record = Mapping[str, Any]


def summarise(records: Iterable[Record], by: str | Sequence[str] = ()) -> dict[str, Any]:
    """Compute mean, standard deviation and quartiles with the number of failures; also by any column.

    Args:
        records: one per image: ``case_id``, the keys of :func:`~monai_lesion.measures.metrics.score_image` and any
            columns of the manifest.
        by: columns to group by, such as ``device``; an image without a value is grouped under ``""``.

    Returns:
        ``n`` (images), ``cases``, ``missed``, ``false_alarms``, ``failures`` (images with either); for each of
        ``dice``, ``hd95`` and ``hd95_monai`` the ``n`` images that have it and their ``mean``, ``std`` (sample standard
        deviation, ddof 1; nan for one image), ``q25``, ``median``, ``q75``, nan when no image has it; and
        ``by``: ``{column: {value: the same}}``. If the images give their ``lesions``, Dice is over those that have
        one, and ``lesions``, ``lesions_found`` and ``without_lesion`` are counted, see
        :func:`monai_lesion.measures.lesions.summarise_lesions`. If they give their ``decision``, ``trust`` holds
        :func:`monai_lesion.measures.decisions.summarise_decisions`.

    Raises:
        InputError: when there are no records, a record lacks a key, or a column of ``by`` is unknown.

    Example:
        >>> from monai_lesion.measures.metrics import score_image
        >>> scores = score_image(np.zeros((4, 4)), np.eye(4))
        >>> summary = summarise([{"case_id": "1", "view": "front", **scores}])
        >>> summary["missed"], summary["dice"]["mean"], summary["hd95"]["n"]
        (1, 0.0, 0)
    """
    known_columns = {*MEASURES, *FAILURES, *COUNTS, *JUDGED, *INSIDE}
    rows, columns = _checked_records(records), [by] if isinstance(by, str) else list(by)
    known = list(dict.fromkeys(key for row in rows for key in row if key not in known_columns))
    for column in columns:
        if column not in known:
            raise InputError("by", f"must name columns of the manifest: {', '.join(known)}", got=column)
    groups = {}
    for column in columns:
        members: dict[str, list[Record]] = defaultdict(list)
        for row in rows:
            value = row.get(column)
            members["" if value is None else str(value)].append(row)
        groups[column] = {value: _summary(members[value]) for value in sorted(members)}
    return {**_summary(rows), "by": groups}


def _checked_records(records: Iterable[Record]) -> list[Record]:
    rows = list(records)
    if not rows:
        raise InputError("records", "must hold at least one image", got="none")
    for index, row in enumerate(rows):
        if missing := [key for key in ("case_id", *MEASURES, *FAILURES) if key not in row]:
            raise InputError(f"records[{index}]", f"must have {', '.join(missing)}", got=", ".join(map(str, row)))
    return rows


def _summary(rows: Sequence[Record]) -> dict[str, Any]:
    counts = {count: sum(bool(row[flag]) for row in rows) for flag, count in FAILURES.items()}
    return {
        "n": len(rows),
        "cases": len({str(row["case_id"]) for row in rows}),
        **counts,
        "failures": sum(any(row[flag] for flag in FAILURES) for row in rows),
        **summarise_lesions(rows),
        **({"trust": judged} if (judged := summarise_decisions(rows)) else {}),
        # The distances of a picture without a lesion are nan already.
        **{name: _statistics([row[name] for row in rows if has_lesion(row)]) for name in MEASURES},
    }


def _statistics(values: Sequence[float]) -> dict[str, float | int]:
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return {"n": 0, **dict.fromkeys(("mean", "std", "q25", "median", "q75"), math.nan)}
    q25, median, q75 = (float(value) for value in np.percentile(finite, (25, 50, 75)))
    std = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    return {"n": len(finite), "mean": float(finite.mean()), "std": std, "q25": q25, "median": median, "q75": q75}


def write_tables(
    records: Iterable[Record],
    output_dir: str | Path,
    by: str | Sequence[str] = (),
    *,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``per_image.csv``, ``per_case.csv`` and ``summary.json``, each whole or not at all.

    A case gets the mean over its views that have the measure, and the number of its failed views. A nan becomes an
    empty field in the tables and null in the summary; flags are 0 or 1.

    Args:
        records: see :func:`summarise`.
        output_dir: folder; created if needed.
        by: columns to group the summary by.
        about: facts to put at the start of the summary, such as the manifest and the weights.

    Returns:
        The summary, see :func:`summarise`.

    Raises:
        InputError: see :func:`summarise`; raised before anything is written.
    """
    rows = list(records)
    summary = {**(about or {}), **summarise(rows, by)}
    folder = Path(output_dir)
    _replace(folder / "per_image.csv", _csv_text(rows))
    _replace(folder / "per_case.csv", _csv_text(_per_case(rows)))
    _replace(folder / "summary.json", json.dumps(_nan_to_none(summary), indent=2, allow_nan=False) + "\n")
    return summary


def read_images(file: Path) -> list[dict[str, Any]]:
    """Read the rows of a ``per_image.csv``: measures as numbers, nan where there is none, flags as 0 and 1.

    Raises:
        InputError: names the row that lacks one.
    """
    with file.open(newline="", encoding="utf-8") as table:
        rows: list[dict[str, Any]] = list(csv.DictReader(table))
    for number, row in enumerate(rows):
        try:
            row.update({name: float(row[name]) if row[name] else math.nan for name in MEASURES})
            row.update({name: int(row[name]) for name in FAILURES})
            row.update({name: int(row[name]) for name in COUNTS if row.get(name)})
        except (KeyError, ValueError) as error:
            raise InputError(f"{file}, row {number + 1}", f"must have {', '.join(MEASURES)}", got=error) from error
    return rows


def _per_case(rows: Sequence[Record]) -> list[Record]:
    cases: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        cases[str(row["case_id"])].append(row)
    table: list[Record] = []
    for case_id in sorted(cases):
        views = _summary(cases[case_id])
        means = {name: views[name]["mean"] for name in MEASURES}
        counts = {count: views[count] for count in (*FAILURES.values(), "failures", *COUNTS) if count in views}
        table.append({"case_id": case_id, "views": views["n"], **means, **counts})
    return table


def _csv_text(rows: Sequence[Record]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return ""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_to_none(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _replace(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def format_table(summary: Mapping[str, Any], *, unit: str = "") -> str:
    """Format a summary as aligned text: one line for all images and one for each value of a column of ``by``.

    Columns for lesions found, and for false alarms on pictures without a lesion, appear only if they are needed.

    Args:
        summary: result of :func:`summarise`.
        unit: ``px`` or ``mm``, shown beside the distances when given.
    """
    suffix = f" [{unit}]" if unit else ""
    table = [["", "Dice", f"HD95{suffix}", f"HD95 (MONAI){suffix}", "missed", "false alarms", "n"]]
    table[0] += ["lesions found", "false alarms without lesion"]
    groups = [("all", summary)]
    for column, values in summary.get("by", {}).items():
        groups += [(f"{column} {value or '(none)'}", group) for value, group in values.items()]
    for name, group in groups:
        means = [_mean_and_std(group[key], digits) for key, digits in zip(MEASURES, (3, 2, 2), strict=True)]
        table.append([name, *means, *(str(group[key]) for key in (*FAILURES.values(), "n")), *lesion_cells(group)])
    table = [list(row) for row in zip(*_told(table), strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])
        for first, *rest in table
    )


def _told(table: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The columns of a table that have more than a heading."""
    return [column for column in zip(*table, strict=True) if any(column[1:])]


def _mean_and_std(values: Mapping[str, Any], digits: int) -> str:
    mean, std = values["mean"], values["std"]  # null in a summary read back from its file
    if mean is None or math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if std is None or math.isnan(std) else f" ± {std:.{digits}f}")
