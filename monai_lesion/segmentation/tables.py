"""Many results as a table: one line each, for CSV and for pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.measures.sizes import QUANTITIES

if TYPE_CHECKING:
    from monai_lesion.segmentation.results import Segmentation

LENGTHS = [name for name in QUANTITIES if name != "area"]
# A column has one unit, so that its mean is one of like things.
SIZES = [
    *(f"{name}_{unit}" for unit in ("mm", "px") for name in LENGTHS),
    *("area_mm2", "area_px2"),
]
FACTS = ("found", "decision", "trust", "mean_probability")
ORIGIN = ("calibration", "rows", "columns", "model", "network", "weights_id", "runtime")
COLUMNS = ("name", "image", "frame", *FACTS, *SIZES, "components", "at_border", *ORIGIN, "error")


def row_of(result: Segmentation) -> dict[str, Any]:
    """One line of the table; None where there is nothing to say.

    Args:
        result: the result.
    """
    facts = result.to_dict()
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update({key: facts[key] for key in ("image", "frame", *FACTS, *ORIGIN)})
    row["name"] = result.file_name
    sizes = result.measurements
    if sizes:
        for name in QUANTITIES:
            quantity = getattr(sizes, name)
            row[f"{name}_{quantity.unit}"] = round(quantity.value, 3)
        row.update(components=sizes.components, at_border=sizes.at_border)
    return row


def write_rows(rows: Iterable[Mapping[str, Any]], file: str | Path) -> Path:
    """Write lines as CSV, whole or not at all; what is None stays empty.

    Args:
        rows: the lines, as :func:`row_of` makes them.
        file: the file; its folder is made when absent.
    """
    path = Path(file)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


class ResultTable:
    """The sizes of many lesions, one line a picture; pictures and masks are not kept.

    A picture of a folder that could not be segmented has a line too, with the reason in the column ``error``.

    Args:
        results: results, as ``segmenter(folder)`` gives them, or a list of them.

    Raises:
        TypeError: for anything else.

    Attributes:
        rows: the lines, by column. A size stands under its unit, ``long_axis_mm`` or ``long_axis_px``.

    Example:
        >>> import numpy as np
        >>> from monai_lesion import LesionSegmenter
        >>> segmenter = LesionSegmenter.from_preset()
        >>> ResultTable(segmenter([np.zeros((64, 64), np.uint8)]))
        <table of 1 picture: 0 with a lesion, 1 without, 0 failed>
    """

    def __init__(self, results: Iterable[Segmentation] = ()) -> None:
        self.rows: list[dict[str, Any]] = []
        try:
            for result in results:
                if not hasattr(result, "measurements"):
                    raise TypeError(f"a table is made of results, got {type(result).__name__}")
                self.rows.append(row_of(result))
        except InputError:
            failures: Mapping[str, str] = getattr(results, "failures", {})
            if not failures:
                raise
            for file, error in failures.items():
                self.rows.append({**dict.fromkeys(COLUMNS), "image": Path(file).name, "error": error})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        failed = sum(row["error"] is not None for row in self.rows)
        found = sum(bool(row["found"]) for row in self.rows)
        count = f"{len(self)} picture{'' if len(self) == 1 else 's'}"
        return f"<table of {count}: {found} with a lesion, {len(self) - found - failed} without, {failed} failed>"

    def _repr_html_(self) -> str:
        shown = [name for name in COLUMNS if any(row[name] is not None for row in self.rows)]
        cells = [["" if row[name] is None else escape(str(row[name])) for name in shown] for row in self.rows]
        head = "".join(f"<th>{name}</th>" for name in shown)
        lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
        return f'<div style="overflow-x:auto"><table><tr>{head}</tr>{lines}</table></div>'

    def to_csv(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write the table as CSV.

        Args:
            file: the file; its folder is made when absent.
            overwrite: replace an earlier file.

        Raises:
            InputError: when the file exists.
        """
        if not overwrite and Path(file).exists():
            raise InputError(
                file, "must not exist yet", got="an earlier file", fix="Give overwrite=True or another name"
            )
        return write_rows(self.rows, file)

    def to_frame(self) -> Any:
        """The table as a ``pandas.DataFrame``.

        Raises:
            InputError: without pandas.
        """
        try:
            import pandas
        except ImportError as error:
            fix = "pip install pandas, or use to_csv()"
            raise InputError("to_frame", "needs pandas", got="no such package", fix=fix) from error
        return pandas.DataFrame(self.rows, columns=list(COLUMNS))
