"""Tables of scored images: what is counted, averaged, written and shown."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import score_image
from monai_lesion.measures.tables import format_table, summarise, write_tables
from tests.measures.shapes import EMPTY, disc

NAN = math.nan


def record(case_id, view, dice, hd95, *, missed=False, false_alarm=False, **columns):
    scores = {"dice": dice, "hd95": hd95, "hd95_monai": 2 * hd95, "missed": missed, "false_alarm": false_alarm}
    return {"case_id": case_id, "view": view, **scores, **columns}


def records():
    return [
        record("b", "front", 0.9, 10.0, device="A", spacing=[0.1, 0.25]),
        record("b", "side", 0.0, NAN, missed=True, device="A", spacing=None),
        record("a", "front", 0.6, 20.123456789, device='B, "old"'),
        record("a", "side", 0.0, NAN, false_alarm=True, device='B, "old"'),
        record("c", "front", 1.0, NAN),
    ]


def test_summary_counts_failures_beside_means_over_what_is_finite():
    summary = summarise(records())
    assert {key: summary[key] for key in ("n", "cases", "missed", "false_alarms", "failures")} == {
        "n": 5,
        "cases": 3,
        "missed": 1,
        "false_alarms": 1,
        "failures": 2,
    }
    assert summary["dice"]["n"] == 5
    assert summary["dice"]["mean"] == pytest.approx(0.5)
    assert summary["hd95"]["n"] == 2
    assert summary["hd95"]["mean"] == pytest.approx((10 + 20.123456789) / 2)
    assert summary["hd95_monai"]["median"] == pytest.approx(30.123456789)
    assert summary["by"] == {}


def test_summary_has_sample_deviation_and_quartiles():
    dices = summarise([record("a", str(view), value, 1.0) for view, value in enumerate([1.0, 0.0, 0.5, 0.25, 0.75])])[
        "dice"
    ]
    assert (dices["q25"], dices["median"], dices["q75"]) == (0.25, 0.5, 0.75)
    assert dices["std"] == pytest.approx(math.sqrt(0.625 / 4))  # squared deviations 2 x 0.25 + 2 x 0.0625, ddof 1


def test_summary_of_one_image_has_no_deviation():
    assert math.isnan(summarise([record("a", "front", 0.9, 10.0)])["dice"]["std"])


def test_a_missed_lesion_shows_although_the_mean_distance_improves():
    good, bad = record("a", "front", 0.9, 5.0), record("b", "front", 0.2, 50.0)
    gone = record("b", "front", 0.0, NAN, missed=True)
    before, after = summarise([good, bad]), summarise([good, gone])
    assert after["hd95"]["mean"] < before["hd95"]["mean"]
    assert (before["missed"], after["missed"], after["hd95"]["n"]) == (0, 1, 1)


def test_pictures_without_a_lesion_are_counted_apart_from_dice():
    rows = [
        {"case_id": str(number), **score_image(pred, label)}
        for number, (pred, label) in enumerate(
            [(disc(20, 20, 5), disc(20, 20, 5)), (EMPTY, disc(20, 20, 5)), (EMPTY, EMPTY), (disc(9, 9, 3), EMPTY)]
        )
    ]
    summary = summarise(rows)
    assert (summary["n"], summary["dice"]["n"], summary["dice"]["mean"]) == (4, 2, 0.5)
    assert (summary["missed"], summary["false_alarms"], summary["failures"]) == (1, 1, 2)
    assert (summary["lesions"], summary["lesions_found"]) == (2, 1)
    assert summary["without_lesion"] == {"n": 2, "false_alarms": 1, "share": 0.5}
    only = summarise(rows[2:])
    assert math.isnan(only["dice"]["mean"])
    assert set(only["dice"]) == set(summary["dice"])
    assert [row["dice"] for row in rows] == [1.0, 0.0, 1.0, 0.0]  # of an image, as ever


def test_case_of_pictures_without_a_lesion_has_no_dice(tmp_path):
    rows = [{"case_id": "n", **score_image(EMPTY, EMPTY)}, {"case_id": "n", **score_image(disc(9, 9, 3), EMPTY)}]
    write_tables(rows, tmp_path)
    with (tmp_path / "per_case.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["dice"], row["false_alarms"], row["lesions"], row["lesions_found"]) == ("", "1", "0", "0")


def test_table_tells_of_lesions_where_pictures_hold_several_or_none():
    both = disc(10, 10, 4) | disc(30, 40, 4)
    one = {"case_id": "1", **score_image(disc(10, 10, 4), both)}
    none = {"case_id": "2", **score_image(EMPTY, EMPTY)}
    assert format_table(summarise([one])).splitlines()[1].split()[-4:] == ["1", "1", "of", "2"]
    alone = format_table(summarise([none])).splitlines()
    assert alone[0].endswith("n  false alarms without lesion")
    assert alone[1].split()[1:] == ["-", "-", "-", "0", "0", "1", "0", "of", "1", "(0%)"]
    lines = format_table(summarise([one, none])).splitlines()
    assert lines[0].endswith("n  lesions found  false alarms without lesion")
    lines = format_table(summarise([one, none], by="case_id")).splitlines()
    assert lines[0].endswith("n  lesions found  false alarms without lesion")
    assert [line.split()[-4:] for line in lines[2:]] == [["1", "1", "of", "2"], ["0", "of", "1", "(0%)"]]


def test_summary_by_column_holds_the_summary_of_each_value_alone():
    rows = records()
    by = summarise(rows, by=["device", "view"])["by"]
    assert list(by) == ["device", "view"]
    assert list(by["device"]) == ["", "A", 'B, "old"']  # the last image names no device
    alone = {key: value for key, value in summarise(rows[:2]).items() if key != "by"}
    np.testing.assert_equal(by["device"]["A"], alone)  # nan equals nan
    assert by["view"]["side"]["failures"] == 2
    assert sum(group["n"] for group in by["view"].values()) == len(rows)


def test_values_of_a_column_are_texts_in_their_order():
    rows = [record(name, "front", 0.9, 1.0, fold=fold) for name, fold in (("a", 10), ("b", 2), ("c", None), ("d", 2))]
    by = summarise(rows, by="fold")["by"]["fold"]
    assert [(value, group["n"]) for value, group in by.items()] == [("", 1), ("10", 1), ("2", 2)]


def test_one_column_needs_no_list():
    assert list(summarise(records(), by="device")["by"]) == ["device"]


def test_rejects_a_column_that_no_image_has_and_names_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"by: must name columns .* case_id, view, device, spacing, got centre"):
        write_tables(records(), tmp_path / "tables", by=["device", "centre"])
    assert not (tmp_path / "tables").exists()


def test_rejects_no_images_and_images_without_scores():
    with pytest.raises(InputError, match="at least one image, got none"):
        summarise([])
    with pytest.raises(InputError, match=r"records\[1\]: must have hd95, missed, got case_id, view, dice, hd95_monai"):
        summarise([records()[0], {k: v for k, v in records()[1].items() if k not in ("hd95", "missed")}])


def test_tables_hold_what_was_scored(tmp_path):
    (tmp_path / "summary.json").write_text("an older summary")
    summary = write_tables(iter(records()), tmp_path, by=["device"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["per_case.csv", "per_image.csv", "summary.json"]

    with (tmp_path / "per_image.csv").open(newline="", encoding="utf-8") as stream:
        images = list(csv.DictReader(stream))
    assert [row["case_id"] for row in images] == ["b", "b", "a", "a", "c"]
    assert images[2]["device"] == 'B, "old"'
    assert float(images[2]["hd95"]) == 20.123456789
    assert [row["hd95"] for row in images][1::2] == ["", ""]
    assert [row["missed"] + row["false_alarm"] for row in images] == ["00", "10", "00", "01", "00"]
    assert json.loads(images[0]["spacing"]) == [0.1, 0.25]
    assert images[1]["spacing"] == images[4]["device"] == ""

    with (tmp_path / "per_case.csv").open(newline="", encoding="utf-8") as stream:
        first, second, third = csv.DictReader(stream)
    assert first["case_id"] == "a"
    assert (float(first["dice"]), float(first["hd95"]), first["false_alarms"]) == (0.3, 20.123456789, "1")
    assert (float(second["dice"]), second["views"], second["missed"], second["failures"]) == (0.45, "2", "1", "1")
    assert (third["views"], third["hd95"], third["failures"]) == ("1", "", "0")

    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    stored = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert stored["hd95"] == summary["hd95"]
    assert stored["by"]["device"][""]["hd95"]["mean"] is None
    assert math.isnan(summary["by"]["device"][""]["hd95"]["mean"])
    assert format_table(stored) == format_table(summary)


def test_summary_opens_with_the_facts_about_it(tmp_path):
    folder = tmp_path / "new" / "tables"
    summary = write_tables(records(), folder, "device", about={"weights": "9f86", "spacing": None})
    text = (folder / "summary.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert list(json.loads(text)) == list(summary)
    assert list(summary)[:3] == ["weights", "spacing", "n"]
    assert list(write_tables(records(), folder)) == list(summary)[2:]


def test_cells_hold_flags_as_numbers_and_structures_as_json(tmp_path):
    extra = {"flag": np.True_, "steps": (0.1, 0.2), "box": {"top": 1}, "score": np.float32("inf"), "note": None}
    write_tables([{**records()[0], **extra}, {**records()[1], "late": 1}], tmp_path)
    with (tmp_path / "per_image.csv").open(newline="", encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert [first[name] for name in extra] == ["1", "[0.1, 0.2]", '{"top": 1}', "", ""]
    assert (first["late"], second["late"], second["flag"]) == ("", "1", "")
    assert b"\r" not in (tmp_path / "per_image.csv").read_bytes()


def test_a_failed_write_leaves_the_older_table(tmp_path, monkeypatch):
    write_tables(records()[:1], tmp_path)
    older = (tmp_path / "per_image.csv").read_text()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("monai_lesion.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tables(records(), tmp_path)
    assert (tmp_path / "per_image.csv").read_text() == older
    assert len(list(tmp_path.iterdir())) == 3


def test_table_has_a_line_for_all_and_one_per_group():
    lines = format_table(summarise(records(), by="device"), unit="px").splitlines()
    assert lines[0].split() == ["Dice", "HD95", "[px]", "HD95", "(MONAI)", "[px]", "missed", "false", "alarms", "n"]
    means = ["0.500", "±", "0.480", "15.06", "±", "7.16", "30.12", "±", "14.32"]
    assert lines[1].split() == ["all", *means, "1", "1", "5"]
    assert lines[2].split() == ["device", "(none)", "1.000", "-", "-", "0", "0", "1"]
    assert lines[3].split() == ["device", "A", "0.450", "±", "0.636", "10.00", "20.00", "1", "0", "2"]
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert lines[2].startswith("device (none)  ")  # names on the left, numbers on the right
    assert [line[-3:] for line in lines] == ["  n", "  5", "  1", "  2", "  2"]
    assert "[" not in format_table(summarise(records()))
