from __future__ import annotations

import pytest

from monai_lesion.archive.results import Results
from monai_lesion.errors import InputError
from tests.archive.tables import run, table

duckdb = pytest.importorskip("duckdb", reason="DuckDB is in the extra archive")


@pytest.fixture
def results(pictures, model, tmp_path):
    run(pictures, tmp_path / "out", model, part_files=4)
    return Results.open(tmp_path / "out")


def test_a_row_is_found_by_its_number(results):
    rows = table(results.output, clock=True)
    assert [results.row(row["row"]) for row in rows] == rows


@pytest.mark.parametrize("number", [-1, 4, 99, 990_000_000])
def test_a_number_that_no_row_has_is_told(results, number):
    with pytest.raises(InputError, match=r"--row: must be the number of a row, .* got -?\d+"):
        results.row(number)


def test_a_condition_selects_in_order_and_keeps_the_types(results):
    rows = table(results.output, clock=True)
    assert list(results.select()) == rows
    assert [row["row"] for row in results.select("found and frame > 0")] == [
        row["row"] for row in rows if row["found"] and (row["frame"] or 0) > 0
    ]
    wanted = [rows[0]["row"], rows[5]["row"]]
    assert [row["row"] for row in results.select(rows=wanted)] == wanted
    assert [row["row"] for row in results.select("found", rows=wanted)] == wanted[:1]


@pytest.mark.parametrize("where", ["size > 3", "1 = ", "found) UNION SELECT (1"])
def test_what_is_no_condition_is_told(results, where):
    with pytest.raises(InputError, match="--where: must be a condition in SQL on the columns, got"):
        list(results.select(where))


def test_a_condition_reads_no_other_file(results, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="--where: must be"):
        list(results.select(f"exists (select * from '{tmp_path}/secret.csv')"))


def test_a_folder_without_results_is_told(tmp_path):
    with pytest.raises(InputError, match="must hold results of an archive, got none"):
        Results.open(tmp_path / "none")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"must hold results of an archive, got none\. Make some"):
        Results.open(tmp_path)
