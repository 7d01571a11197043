"""The paper's metrics and tables that do not hide failures; everything else is MONAI's.

A missed lesion has no Hausdorff distance, so a mean over what is left improves with every miss: each mean here
stands beside the number of failures.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError

Mask = NDArray[np.bool_]
Spacing = tuple[float, float]

MEASURES = ("dice", "hd95", "hd95_monai")
FAILURES = ("missed", "false_alarm")


def _checked(pred: Any, label: Any) -> tuple[Mask, Mask]:
    first, second = np.asarray(pred), np.asarray(label)
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError("pred, label", "must be two masks (H, W) of one size", got=f"{first.shape}, {second.shape}")
    return first.astype(bool, copy=False), second.astype(bool, copy=False)


def dice(pred: Any, label: Any) -> float:
    """Dice coefficient; 1 when both masks are empty.

    Args:
        pred: mask, bool ``(H, W)``.
        label: reference of the same size.

    Raises:
        InputError: when the masks are not two-dimensional or differ in size.

    Example:
        >>> dice([[1, 1, 0]], [[0, 1, 1]])
        0.5
    """
    first, second = _checked(pred, label)
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0


def _surface(mask: Mask) -> NDArray[np.float64]:
    """Row and column of the pixels with a 4-neighbour outside the mask; outside the picture counts as outside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    box = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    inner = box[:-2, 1:-1] & box[2:, 1:-1] & box[1:-1, :-2] & box[1:-1, 2:]
    return np.argwhere(box[1:-1, 1:-1] & ~inner) + np.array([top, left], dtype=np.float64)


def _surface_distances(pred: Mask, label: Mask, spacing: Spacing | None) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Distances from each surface to the other; None when a mask is empty."""
    from scipy.spatial import cKDTree

    if not pred.any() or not label.any():
        return None
    step = np.asarray(spacing or (1.0, 1.0), dtype=np.float64)
    if step.shape != (2,) or not (step > 0).all():
        raise InputError("spacing", "must be two positive steps: row, column", got=spacing)
    first, second = _surface(pred) * step, _surface(label) * step
    return cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]


def pooled_hd95(pred: Any, label: Any, *, spacing: Spacing | None = None) -> float:
    """The paper's 95 % Hausdorff distance: the 95th percentile of both directed surface-distance sets pooled.

    Args:
        pred: mask, bool ``(H, W)``.
        label: reference of the same size.
        spacing: row and column step in millimetres; None measures in pixels.

    Returns:
        The distance in millimetres or pixels; nan when either mask is empty.

    Raises:
        InputError: when the masks are not two-dimensional or differ in size.

    Source:
        Li et al., ISBI 2021; the definition of ``medpy.metric.binary.hd95``.

    Example:
        >>> square = np.zeros((9, 9), bool); square[2:5, 2:5] = True
        >>> pooled_hd95(square, np.roll(square, 2, axis=1), spacing=(1.0, 0.5))
        1.0
    """
    distances = _surface_distances(*_checked(pred, label), spacing)
    return math.nan if distances is None else float(np.percentile(np.concatenate(distances), 95))


def hd95(pred: Any, label: Any, *, spacing: Spacing | None = None) -> float:
    """MONAI's 95 % Hausdorff distance: the larger of the two directed 95th percentiles.

    Arguments, result and errors are those of :func:`pooled_hd95`.

    Source:
        ``monai.metrics.compute_hausdorff_distance(percentile=95)``.
    """
    distances = _surface_distances(*_checked(pred, label), spacing)
    return math.nan if distances is None else max(float(np.percentile(each, 95)) for each in distances)


def score_image(pred: Any, label: Any, *, spacing: Spacing | None = None) -> dict[str, float | bool]:
    """All measures of one image; the surfaces are found once.

    Args:
        pred: mask, bool ``(H, W)``.
        label: reference of the same size.
        spacing: row and column step in millimetres; None measures in pixels.

    Returns:
        ``dice``, ``hd95`` (the paper's), ``hd95_monai``, ``missed`` (nothing found where a lesion is) and
        ``false_alarm`` (something found where none is).

    Raises:
        InputError: when the masks are not two-dimensional or differ in size.
    """
    first, second = _checked(pred, label)
    distances = _surface_distances(first, second, spacing)
    found, real = bool(first.any()), bool(second.any())
    return {
        "dice": dice(first, second),
        "hd95": math.nan if distances is None else float(np.percentile(np.concatenate(distances), 95)),
        "hd95_monai": math.nan if distances is None else max(float(np.percentile(each, 95)) for each in distances),
        "missed": real and not found,
        "false_alarm": found and not real,
    }


def _statistics(values: Sequence[float]) -> dict[str, float | int | None]:
    finite = np.asarray([value for value in values if math.isfinite(value)])
    if not len(finite):
        return {"n": 0, **dict.fromkeys(("mean", "std", "q25", "median", "q75"))}
    q25, median, q75 = (float(value) for value in np.percentile(finite, [25, 50, 75]))
    std = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
    return {"n": len(finite), "mean": float(finite.mean()), "std": std, "q25": q25, "median": median, "q75": q75}


def _summary(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "images": len(records),
        "cases": len({record.get("case_id") for record in records}),
        **{name: sum(bool(record[name]) for record in records) for name in FAILURES},
        "failures": sum(bool(record["missed"] or record["false_alarm"]) for record in records),
        **{name: _statistics([float(record[name]) for record in records]) for name in MEASURES},
    }


def summarise(records: Sequence[Mapping[str, Any]], by: Sequence[str] = ()) -> dict[str, Any]:
    """Mean, sample standard deviation, quartiles and failures; also per value of any column.

    Args:
        records: per image the dict of :func:`score_image`, ``case_id`` and any columns.
        by: columns to group by, such as ``device``.

    Returns:
        ``images``, ``cases``, ``missed``, ``false_alarm``, ``failures``, the statistics of each measure over the
        images that have it, and ``by``: the same per column and value.

    Raises:
        InputError: when there are no records, or none has the column.
    """
    if not records:
        raise InputError("records", "must hold at least one image", got="none")
    summary = _summary(records)
    groups: dict[str, dict[str, Any]] = {}
    for column in by:
        members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for record in records:
            members[str(record.get(column, ""))].append(record)
        if not any(column in record for record in records):
            known = ", ".join(key for key in records[0] if key not in (*MEASURES, *FAILURES))
            raise InputError("by", f"must name a column of the manifest: {known}", got=column)
        groups[column] = {value: _summary(members[value]) for value in sorted(members)}
    return {**summary, "by": groups} if by else summary


def per_case(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record per case: the mean of its views that have the measure, and the number of failed views."""
    cases: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        cases[str(record.get("case_id", ""))].append(record)
    rows = []
    for case_id in sorted(cases):
        views = cases[case_id]
        means = {name: _statistics([float(view[name]) for view in views])["mean"] for name in MEASURES}
        failed = {name: sum(bool(view[name]) for view in views) for name in FAILURES}
        rows.append({"case_id": case_id, "views": len(views), **means, **failed})
    return rows


def write_tables(
    records: Sequence[Mapping[str, Any]], output_dir: str | Path, by: Sequence[str] = ()
) -> dict[str, Any]:
    """Write ``per_image.csv``, ``per_case.csv`` and ``summary.json``; a missing distance is an empty field or null.

    Args:
        records: as for :func:`summarise`.
        output_dir: folder, made when absent.
        by: columns to group the summary by.

    Returns:
        The summary.
    """
    summary = summarise(records, by)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "per_image.csv", records)
    _write_csv(folder / "per_case.csv", per_case(records))
    _replace(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import io

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)), restval="")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    _replace(path, text.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else ""
    return value


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)


def format_table(summary: Mapping[str, Any]) -> str:
    """A plain-text table: one line for all images, one per value of each column of ``by``."""
    lines = [f"{'':28}{'images':>7}{'Dice':>16}{'HD95 [px]':>16}{'HD95 MONAI':>16}{'missed':>8}{'false alarms':>14}"]
    rows = [("all", summary)]
    rows += [(f"{column} {value}", group) for column, values in summary.get("by", {}).items()
             for value, group in values.items()]
    for name, group in rows:
        cells = [
            f"{'-':>16}" if stats["mean"] is None else f"{stats['mean']:.{digits}f} ± {stats['std']:.{digits}f}".rjust(16)
            for stats, digits in ((group["dice"], 3), (group["hd95"], 2), (group["hd95_monai"], 2))
        ]
        lines.append(f"{name[:27]:28}{group['images']:>7}{''.join(cells)}{group['missed']:>8}{group['false_alarm']:>14}")
    return "\n".join(lines)
