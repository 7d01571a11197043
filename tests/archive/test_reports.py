from __future__ import annotations

import re

import pyarrow
import pyarrow.parquet
import pytest

from monai_lesion.archive.parts import part_file
from monai_lesion.archive.reports import _step, write_archive_report
from monai_lesion.errors import InputError
from tests.archive.tables import run, table

pytest.importorskip("duckdb", reason="DuckDB is in the extra archive")
pytest.importorskip("jinja2", reason="Jinja is in the extra archive")


@pytest.fixture
def output(pictures, model, tmp_path):
    (pictures / "<b>.png").write_bytes(b"x")
    run(pictures, tmp_path / "out", model)
    return tmp_path / "out"


def bars(text, title):
    figure = text.split(f"<figcaption>{title}</figcaption>")[1].split("</figure>")[0]
    return dict(re.findall(r"<tr><td>(.*?)</td><td class=count>(\d+)</td>", figure))


def test_the_page_counts_what_the_table_holds(output):
    text = write_archive_report(output).read_text()
    rows = table(output)
    assert bars(text, "Frames by decision") == {"lesion": "7", "error": "2", "nothing found": "1"}
    sizes = bars(text, "Long axis, mm")
    assert sum(map(int, sizes.values())) == sum(row["long_axis_mm"] is not None for row in rows) == 3
    assert bars(text, "Frames with a mask by scanner") == {"Scanner A": "3"}
    kinds = re.findall(r"<tr><td>(.*?)</td><td class=count>(\d+)</td><td>", text.split("<h2>Errors</h2>")[1])
    assert kinds == [("must be a readable picture or DICOM file", "2")]
    assert f"{len(rows)} frames of 8 files; 2 are errors" in text


def test_names_of_files_are_escaped_and_nothing_is_fetched(output):
    text = write_archive_report(output).read_text()
    assert "<b>.png" not in text
    assert not re.search(r"(src|href)=.?https?:", text)
    assert "Planted" not in text


def test_the_doubtful_are_drawn_the_least_trusted_first_also_where_a_picture_is_gone(output, pictures):
    file = part_file(output, 0)
    rows = pyarrow.parquet.ParquetFile(file).read()
    trusts = {0: 0.5, 1: 0.3, 2: 0.4}
    changed = [
        {**row, **({"decision": "doubtful", "trust": trusts[place]} if place in trusts else {})}
        for place, row in enumerate(row for row in rows.to_pylist())
    ]
    doubtful = [changed[place]["row"] for place in (1, 2, 0)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(changed, rows.schema), file)
    from pathlib import Path

    Path(changed[2]["path"]).unlink()
    text = write_archive_report(output, output / "page.html").read_text()
    captions = re.findall(r"<figcaption>Row (\d+): (.*?)</figcaption>", text)
    assert [int(number) for number, _ in captions] == doubtful
    assert [told == "its picture cannot be read now" for _, told in captions] == [False, True, False]
    assert text.count("<img ") == 2
    assert "3 frames are doubtful" in text
    assert write_archive_report(output, output / "none.html", gallery=0).read_text().count("<img ") == 0


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(InputError, match="must hold results"):
        write_archive_report(tmp_path)


def test_steps_are_round():
    assert [_step(least) for least in (0.011, 1.0, 3.0, 700.0)] == [0.02, 1.0, 5.0, 1000.0]
