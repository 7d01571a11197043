"""Write the comparison of a network with and without calipers as tables and files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.tables import Table, number, p_value
from monai_lesion.study.calipers import MEASURES, VARIANTS, Record, differences

TABLE, FACTS = "calipers.csv", "calipers.json"
COUNTS = ("markers", "moved_rows", "moved_columns", "missed", "false_alarm")


def format_comparison(records: Sequence[Record]) -> str:
    """Format the comparison as Markdown: a line for each variant, then what the numbers mean.

    Raises:
        InputError: see :func:`~monai_lesion.study.calipers.differences`.
    """
    changes = differences(records)
    images = {record["image"]: record["markers"] for record in records}
    rows = []
    for name in VARIANTS:
        own = [record for record in records if record["variant"] == name and record["markers"]]
        cells = [name, str(len(own))]
        for measure, digits in zip(MEASURES, (3, 2), strict=True):
            known = [record[measure] for record in own if math.isfinite(record[measure])]
            cells.append(number(float(np.mean(known)) if known else None, f".{digits}f"))
            if name == "original":
                cells += ["", ""]
                continue
            change = changes[name][measure]
            mean, low, high = (number(value, f"+.{digits}f") for value in (change.mean, change.low, change.high))
            cells += [f"{mean} [{low}, {high}]", p_value(change.p_holm)]
        rows.append([*cells, str(sum(bool(record["missed"]) for record in own))])
    interval = "change [95 % interval]"
    columns = ["picture", "images", "Dice", interval, "p", "HD95 (px)", interval, "p", "missed"]
    without = [record["dice"] for record in records if not record["markers"]]
    rest = f"; Dice {np.mean(without):.3f}" if without else ""
    return "\n".join(
        [
            Table("", columns, rows, words=range(len(columns))).markdown(),
            *(f"- {name}: {meaning}" for name, meaning in VARIANTS.items()),
            f"- Calipers were found in {sum(map(bool, images.values()))} of {len(images)} images; the others "
            f"({len(without)}{rest}) are not in the table.",
            "- Change: the picture less the original, image by image, over the images that have both; 95 % interval by "
            "bootstrap over cases; p of Wilcoxon's signed-rank test, corrected after Holm for the six tests.",
            "- HD95: the paper's, pooled, in pixels of the image; a missed lesion has none.",
        ]
    )


def write_comparison(records: Sequence[Record], output_dir: str | Path, about: Mapping[str, Any]) -> str:
    """Write ``calipers.md``, ``calipers.csv`` (image by image) and ``calipers.json`` (what was compared).

    Args:
        records: result of :func:`~monai_lesion.study.calipers.compare_images`.
        output_dir: folder to write to; created if it does not exist.
        about: facts such as the manifest and the weights.

    Returns:
        The table.

    Raises:
        InputError: as :func:`~monai_lesion.study.calipers.differences`, before anything is written.
    """
    table = format_comparison(records)
    changes = {
        name: {measure: _finite(change._asdict()) for measure, change in by_measure.items()}
        for name, by_measure in differences(records).items()
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _cell(value) for key, value in record.items()})
    title = f"# Calipers: {in_words(about)}"
    facts = json.dumps({**about, "changes": changes}, indent=2, allow_nan=False)
    contents = {TABLE: text.getvalue(), FACTS: facts + "\n", "calipers.md": f"{title}\n\n{table}\n"}
    for name, content in contents.items():
        with replacing(Path(output_dir) / name) as partial:
            partial.write_text(content, encoding="utf-8", newline="")
    return table


def in_words(about: Mapping[str, Any]) -> str:
    """Write the facts of a comparison as text, with hashes cut to their first digits.

    Example:
        >>> in_words({"network": "UNet()", "weights_id": "1cd56f9ebcb5d87a086a"})
        'network UNet(), weights_id 1cd56f9ebcb5'
    """
    hashes = ("weights_id", "weights_file_sha256")
    return ", ".join(f"{key} {value[:12] if key in hashes else value}" for key, value in about.items())


def read_comparison(path: str | Path) -> list[Record]:
    """Read the records of a ``calipers.csv``; a missing measure becomes nan.

    Raises:
        InputError: when the file cannot be read or lacks a column.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows: list[Record] = list(csv.DictReader(file))
        for row in rows:
            row.update({key: int(row[key]) for key in COUNTS})
            row.update({key: float(row[key] or "nan") for key in (*MEASURES, "hd95_monai")})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(path, "must be a table of study calipers", got=repr(error)) from error
    return rows


def caliper_section(file: Path) -> str:
    """Make a section of a document from a comparison's table of images and the facts beside it."""
    facts = json.loads((file.parent / FACTS).read_text(encoding="utf-8"))
    told = in_words({key: value for key, value in facts.items() if key not in ("changes", "title")})
    heading = f"## Calipers: {facts.get('title') or facts.get('network', file.parent.name)}"
    return f"{heading}\n\n{told}.\n\n{format_comparison(read_comparison(file))}\n"


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else round(value, 5)
    return value


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
