"""The paper's metrics and tables that do not hide failures; everything else is MONAI's.

A missed lesion has no Hausdorff distance, so a mean over what is left improves with every miss: each mean here
stands beside the number of failures.
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
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.measures.lesions import COUNTS, count_lesions, has_lesion, lesion_cells, summarise_lesions
from monai_lesion.measures.masks import Mask, checked_mask, checked_steps

Distances = tuple[NDArray[np.float64], NDArray[np.float64]]
Record = Mapping[str, Any]

MEASURES = ("dice", "hd95", "hd95_monai")
FAILURES = {"missed": "missed", "false_alarm": "false_alarms"}  # flag of an image: its count in a summary


def dice(pred: ArrayLike, label: ArrayLike) -> float:
    """Dice coefficient; 1 when both masks are empty.

    Args:
        pred: mask, bool or 0 and non-zero.
        label: reference of the same size.

    Shape:
        - pred, label: ``(H, W)``

    Raises:
        InputError: when the masks are not two-dimensional, differ in size or hold probabilities.

    Example:
        >>> dice([[1, 1, 0]], [[0, 1, 1]])
        0.5
    """
    return _dice(*_checked_masks(pred, label))


def pooled_hd95(pred: ArrayLike, label: ArrayLike, *, spacing: Sequence[float] | None = None) -> float:
    """The paper's 95 % Hausdorff distance: the 95th percentile of both directed surface-distance sets pooled.

    Args:
        pred: mask, bool or 0 and non-zero.
        label: reference of the same size.
        spacing: row and column step in millimetres; None measures in pixels.

    Shape:
        - pred, label: ``(H, W)``

    Returns:
        The distance in millimetres or pixels; nan when either mask is empty.

    Raises:
        InputError: as :func:`dice`, and when ``spacing`` is not two positive numbers.

    Source:
        Li et al., ISBI 2021; the definition of ``medpy.metric.binary.hd95``.

    Example:
        >>> square = np.zeros((9, 9), bool); square[2:5, 2:5] = True
        >>> pooled_hd95(square, np.roll(square, 2, axis=1), spacing=(1.0, 0.5))
        1.0
    """
    return _pooled_percentile(_surface_distances(*_checked_masks(pred, label), checked_steps(spacing)))


def hd95(pred: ArrayLike, label: ArrayLike, *, spacing: Sequence[float] | None = None) -> float:
    """MONAI's 95 % Hausdorff distance: the larger of the two directed 95th percentiles.

    Arguments, result and errors are those of :func:`pooled_hd95`.

    Source:
        ``monai.metrics.HausdorffDistanceMetric(percentile=95)``.

    Example:
        >>> label = np.zeros((9, 40), bool); label[2:7, 2:7] = True
        >>> spot = label.copy(); spot[4, 30:32] = True
        >>> round(hd95(spot, label), 2), round(pooled_hd95(spot, label), 2)
        (24.15, 8.4)
    """
    return _larger_percentile(_surface_distances(*_checked_masks(pred, label), checked_steps(spacing)))


def score_image(
    pred: ArrayLike, label: ArrayLike, *, spacing: Sequence[float] | None = None
) -> dict[str, float | bool | int]:
    """All measures of one image; the surfaces and their distances are found once.

    Args:
        pred: mask, bool or 0 and non-zero.
        label: reference of the same size.
        spacing: row and column step in millimetres; None measures in pixels.

    Shape:
        - pred, label: ``(H, W)``

    Returns:
        ``dice``, ``hd95`` (the paper's, pooled), ``hd95_monai``, ``missed`` (a lesion that nothing found touches)
        and ``false_alarm`` (something found that touches no lesion); a find in the wrong place is both; ``lesions`` and
        ``lesions_found`` one by one, see :func:`monai_lesion.measures.lesions.count_lesions`. Without both surfaces the
        distances are nan.

    Raises:
        InputError: as :func:`pooled_hd95`.

    Example:
        >>> score_image(np.zeros((4, 4), bool), np.eye(4, dtype=bool))  # doctest: +NORMALIZE_WHITESPACE
        {'dice': 0.0, 'hd95': nan, 'hd95_monai': nan, 'missed': True, 'false_alarm': False, 'lesions': 1,
         'lesions_found': 0}
    """
    found, real = _checked_masks(pred, label)
    distances = _surface_distances(found, real, checked_steps(spacing))
    touching = bool((found & real).any())
    return {
        "dice": _dice(found, real),
        "hd95": _pooled_percentile(distances),
        "hd95_monai": _larger_percentile(distances),
        "missed": bool(real.any() and not touching),
        "false_alarm": bool(found.any() and not touching),
        **dict(zip(COUNTS, count_lesions(found, real), strict=True)),
    }


def _checked_masks(pred: ArrayLike, label: ArrayLike) -> tuple[Mask, Mask]:
    first, second = checked_mask(pred, name="pred"), checked_mask(label, name="label")
    if first.shape != second.shape:
        raise InputError("pred, label", "must be two masks (H, W) of one size", got=f"{first.shape}, {second.shape}")
    return first, second


def _dice(first: Mask, second: Mask) -> float:
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else 1.0


def _surface(mask: Mask) -> NDArray[np.float64]:
    """Row and column of the pixels with a 4-neighbour outside the mask; outside the picture counts as outside.

    Slices within the bounding box give ``mask ^ binary_erosion(mask)`` of medpy and MONAI in a fraction of its time.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = rows[0], columns[0]
    box = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    inner = box[:-2, 1:-1] & box[2:, 1:-1] & box[1:-1, :-2] & box[1:-1, 2:]
    edge = np.argwhere(box[1:-1, 1:-1] & ~inner).astype(np.float64)
    return edge + np.array([top, left], dtype=np.float64)


def _surface_distances(pred: Mask, label: Mask, steps: NDArray[np.float64]) -> Distances | None:
    """Distances from each surface to the other; None when a mask is empty."""
    from scipy.spatial import cKDTree

    if not pred.any() or not label.any():
        return None
    first, second = _surface(pred) * steps, _surface(label) * steps
    # One query per tree: a well-balanced tree would cost more than it saves.
    options = {"leafsize": 32, "balanced_tree": False, "compact_nodes": False}
    return cKDTree(second, **options).query(first)[0], cKDTree(first, **options).query(second)[0]


def _pooled_percentile(distances: Distances | None) -> float:
    return math.nan if distances is None else float(np.percentile(np.concatenate(distances), 95))


def _larger_percentile(distances: Distances | None) -> float:
    return math.nan if distances is None else max(float(np.percentile(each, 95)) for each in distances)


def summarise(records: Iterable[Record], by: str | Sequence[str] = ()) -> dict[str, Any]:
    """Mean, standard deviation and quartiles beside the failures; also per value of any column.

    Args:
        records: one per image: ``case_id``, the keys of :func:`score_image` and any columns of the manifest.
        by: columns to group by, such as ``device``; an image without a value is grouped under ``""``.

    Returns:
        ``n`` (images), ``cases``, ``missed``, ``false_alarms``, ``failures`` (images with either); for each of
        ``dice``, ``hd95`` and ``hd95_monai`` the ``n`` images that have it and their ``mean``, ``std`` (sample standard
        deviation, ddof 1; nan for one image), ``q25``, ``median``, ``q75``, nan when no image has it; and
        ``by``: ``{column: {value: the same}}``. Where the images tell their ``lesions``, Dice is over those that have
        one, and ``lesions``, ``lesions_found`` and ``without_lesion`` are counted, see
        :func:`monai_lesion.measures.lesions.summarise_lesions`.

    Raises:
        InputError: when there are no records, one lacks a key, or none has a column of ``by``.

    Example:
        >>> scores = score_image(np.zeros((4, 4)), np.eye(4))
        >>> summary = summarise([{"case_id": "1", "view": "front", **scores}])
        >>> summary["missed"], summary["dice"]["mean"], summary["hd95"]["n"]
        (1, 0.0, 0)
    """
    rows, columns = _checked_records(records), [by] if isinstance(by, str) else list(by)
    known = list(dict.fromkeys(key for row in rows for key in row if key not in (*MEASURES, *FAILURES, *COUNTS)))
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

    A case has the mean of its views that have the measure, and its failed views counted. What is nan becomes an
    empty field in the tables and null in the summary; flags are 0 or 1.

    Args:
        records: as for :func:`summarise`.
        output_dir: folder, made when absent.
        by: columns to group the summary by.
        about: facts that the summary opens with, such as the manifest and the weights.

    Returns:
        The summary, as of :func:`summarise`.

    Raises:
        InputError: as :func:`summarise`, before anything is written.
    """
    rows = list(records)
    summary = {**(about or {}), **summarise(rows, by)}
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "per_image.csv", _csv_text(rows))
    _replace(folder / "per_case.csv", _csv_text(_per_case(rows)))
    _replace(folder / "summary.json", json.dumps(_nan_to_none(summary), indent=2, allow_nan=False) + "\n")
    return summary


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
    """Aligned plain text: one line for all images and one per value of each column of ``by``.

    Lesions found have a column where pictures hold several, and false alarms on pictures without a lesion where there
    are any.

    Args:
        summary: of :func:`summarise`.
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
