"""The questions in docs/how-to/archive.md, asked of a table whose answers are known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.archive.tables import run, table
from tests.segmentation.pictures import red_dicom

duckdb = pytest.importorskip("duckdb", reason="DuckDB is in the extra archive")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "archive.md"


def questions():
    return re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def results(model, tmp_path_factory):
    """Two scanners, one patient at three dates whose lesion is 27.5 mm, 55 mm and then in pixels, and a bad file."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "source").mkdir()
    for number, (scanner, spacing) in enumerate([("A", 0.5), ("A", 1.0), ("B", 0.5), ("B", 0.1), ("B", None)]):
        red_dicom(
            folder / "source" / f"{number}.dcm",
            ManufacturerModelName=scanner,
            PatientID="4711" if number < 2 else "other",
            StudyDate=f"2026010{number + 1}",
            SOPInstanceUID=f"1.2.{number}",
            **({} if spacing is None else {"PixelSpacing": [spacing, spacing]}),
        )
    (folder / "source" / "bad.png").write_bytes(b"x")
    run(folder / "source", folder / "results", model, identifiers=True, part_files=2)
    return folder


def ask(number, folder):
    question = questions()[number].replace("'results/", f"'{folder}/results/")
    found = duckdb.connect().execute(question)
    return [dict(zip([each[0] for each in found.description], row, strict=True)) for row in found.fetchall()]


def test_lesions_over_20_mm_are_counted_for_each_scanner(results):
    assert ask(0, results) == [{"scanner": "A", "lesions": 2}, {"scanner": "B", "lesions": 1}]


def test_doubtful_ones_come_first_by_trust(results, model, tmp_path):
    import pyarrow
    import pyarrow.parquet

    file = next((results / "results" / "rows").glob("*/*.parquet"))
    rows = pyarrow.parquet.ParquetFile(file).read()
    changed = [
        {**row, "decision": "doubtful", "trust": 0.4 - 0.1 * place} for place, row in enumerate(rows.to_pylist())
    ]
    (tmp_path / "results" / "rows" / "block=0000").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(changed, rows.schema), tmp_path / "results" / "rows" / "block=0000" / "part-0.parquet"
    )
    assert [each["row"] for each in ask(1, tmp_path)] == [row["row"] for row in reversed(changed)]
    assert ask(1, results) == []


def test_the_growth_of_a_patient_is_told_by_date(results):
    grown = ask(2, results)
    assert [each["study_date"] for each in grown] == ["20260101", "20260102"]
    assert grown[1]["long_axis_mm"] == pytest.approx(2 * grown[0]["long_axis_mm"], rel=1e-3)
    assert all(each["at_least"] < each["long_axis_mm"] for each in grown)


def test_errors_are_counted_by_kind(results):
    (found,) = ask(3, results)
    assert (found["error_kind"], found["files"]) == ("must be a readable picture or DICOM file", 1)
    assert len(table(results / "results")) == 6
    assert len(questions()) == 4
