"""The table of many results: a column has one unit, and a picture that failed has its line."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.segmentation.tables import COLUMNS, ResultTable


def result(rows, spacing=None, path="a.png"):
    mask = np.zeros((20, 30), np.uint8)
    mask[4 : 4 + rows, 3:9] = 1
    image = UltrasoundImage(np.zeros((20, 30, 3), np.uint8), spacing, path, calibration=Calibration(spacing))
    return Segmentation(image, mask, mask.astype(np.float32))


class Results:
    """Two results, then the error that names the file that failed."""

    failures = {"in/b.png": "in/b.png: must be a readable picture"}  # noqa: RUF012

    def __iter__(self):
        yield result(6, (0.5, 0.5))
        yield result(6, path="c.png")
        raise InputError("images", "1 of 3 could not be segmented")


def test_millimetres_and_pixels_stand_in_columns_of_their_own():
    calibrated, bare, empty = ResultTable([result(6, (0.5, 0.5)), result(6), result(0)])
    assert (calibrated["area_mm2"], calibrated["area_px2"]) == (36 * 0.25, None)
    assert (bare["area_mm2"], bare["area_px2"]) == (None, 36)
    assert (calibrated["width_mm"], bare["width_px"]) == (3, 6)
    assert (empty["found"], empty["area_px2"], empty["long_axis_px"], empty["error"]) == (False, None, None, None)


def test_csv_says_what_the_rows_say(tmp_path):
    table = ResultTable([result(6, path="in/a.png"), result(0, path="in/b.png")])
    file = table.to_csv(tmp_path / "new" / "sizes.csv")
    with file.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["name"] for line in lines] == ["a", "b"]
    assert lines[0] == {name: "" if value is None else str(value) for name, value in table.rows[0].items()}
    with pytest.raises(InputError, match=r"sizes\.csv: must not exist yet"):
        table.to_csv(file)
    assert table.to_csv(file, overwrite=True) == file


def test_a_file_that_failed_has_its_line():
    table = ResultTable(Results())
    assert [row["image"] for row in table] == ["a.png", "c.png", "b.png"]
    assert table.rows[-1]["error"] == "in/b.png: must be a readable picture"
    assert repr(table) == "<table of 3 pictures: 2 with a lesion, 0 without, 1 failed>"


def test_an_error_that_is_no_bad_file_is_raised():
    def broken():
        yield result(6)
        raise InputError("network", "must compute finite numbers")

    with pytest.raises(InputError, match="finite numbers"):
        ResultTable(broken())


def test_frame_has_the_columns_and_means_of_one_unit():
    pytest.importorskip("pandas", reason="pandas is not a dependency")
    frame = ResultTable([result(6, (0.5, 0.5)), result(6), result(0)]).to_frame()
    assert tuple(frame.columns) == COLUMNS
    assert frame["area_px2"].mean() == 36


def test_html_leaves_out_columns_that_are_empty_and_takes_a_name_for_text():
    text = ResultTable([result(6, path="<b>.png")])._repr_html_()
    assert "<b>" not in text
    assert "long_axis_px" in text
    assert "long_axis_mm" not in text


def test_a_table_of_something_else_is_refused_in_words():
    with pytest.raises(TypeError, match="a table is made of results, got int"):
        ResultTable([1, 2])
