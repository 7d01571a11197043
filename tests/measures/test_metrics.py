from __future__ import annotations

import csv
import json
import math
import warnings

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.measures.lesions import count_lesions
from monai_lesion.measures.metrics import dice, format_table, hd95, pooled_hd95, score_image, summarise, write_tables

EMPTY = np.zeros((48, 64), bool)


def disc(row, column, radius, shape=(48, 64)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


def rectangle(top, left, height, width, shape=(48, 64)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def with_spot(mask, row, column, size=4):
    return mask | rectangle(row, column, size, size, mask.shape)


def holed(mask):
    return mask & ~disc(22, 30, 4)


PAIRS = {
    "overlapping": (disc(22, 30, 12), disc(25, 33, 10)),
    "apart": (disc(10, 10, 5), disc(36, 50, 7)),
    "inside": (disc(22, 30, 4), disc(22, 30, 14)),
    "equal": (disc(22, 30, 12), disc(22, 30, 12)),
    "distant false spot": (with_spot(disc(24, 16, 11), 40, 58), disc(24, 18, 11)),
    "hole": (holed(disc(22, 30, 12)), disc(24, 30, 12)),
    "single pixels": (rectangle(3, 5, 1, 1), rectangle(40, 60, 1, 1)),
    "touching every border": (np.ones((48, 64), bool), disc(20, 20, 9)),
    "corners": (rectangle(0, 0, 9, 13), rectangle(39, 51, 9, 13)),
    "border on one side": (rectangle(0, 10, 20, 20), rectangle(1, 12, 20, 20)),
    "noise": tuple(np.random.default_rng(0).random((2, 48, 64)) > 0.7),
}
SPACINGS = [None, (0.2, 0.2), (0.31, 0.12), (1.0, 7.0)]

pairs = pytest.mark.parametrize(("pred", "label"), PAIRS.values(), ids=PAIRS)
spacings = pytest.mark.parametrize("spacing", SPACINGS, ids=str)


@pairs
@spacings
def test_pooled_hd95_equals_medpy(pred, label, spacing):
    binary = pytest.importorskip("medpy.metric.binary", reason="medpy (GPL) is an oracle of the tests only")
    expected = binary.hd95(pred, label, voxelspacing=spacing)
    assert pooled_hd95(pred, label, spacing=spacing) == pytest.approx(expected, abs=1e-9)


@pairs
@spacings
def test_hd95_equals_monai(pred, label, spacing):
    from monai.metrics import compute_hausdorff_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = compute_hausdorff_distance(
            pred[None, None], label[None, None], include_background=True, percentile=95, spacing=spacing
        ).item()
    assert hd95(pred, label, spacing=spacing) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pairs
def test_dice_equals_monai(pred, label):
    import torch
    from monai.metrics import compute_dice

    first, second = (torch.as_tensor(mask)[None, None] for mask in (pred, label))
    assert dice(pred, label) == pytest.approx(compute_dice(first, second).item(), abs=1e-6)


@pairs
@spacings
def test_score_image_agrees_with_the_single_functions(pred, label, spacing):
    lesions, lesions_found = count_lesions(pred, label)
    assert score_image(pred, label, spacing=spacing) == {
        "dice": dice(pred, label),
        "hd95": pooled_hd95(pred, label, spacing=spacing),
        "hd95_monai": hd95(pred, label, spacing=spacing),
        "missed": not (pred & label).any(),
        "false_alarm": not (pred & label).any(),
        "lesions": lesions,
        "lesions_found": lesions_found,
    }


def test_a_find_in_the_wrong_place_is_a_miss_and_a_false_alarm_and_keeps_its_distance():
    score = score_image(disc(10, 10, 5), disc(36, 50, 7))
    assert (score["dice"], score["missed"], score["false_alarm"]) == (0.0, True, True)
    assert score["hd95"] > 30
    assert summarise([{"case_id": "1", **score}])["failures"] == 1


@pytest.mark.parametrize("function", [pooled_hd95, hd95])
@pytest.mark.parametrize(("shift", "axis"), [(1, 0), (3, 1), (10, 1)])
def test_shifted_line_is_as_far_as_its_shift(function, shift, axis):
    # A line one pixel thin is all surface, and a shift across it puts every pixel exactly that far away.
    line = rectangle(4, 4, 1, 20) if axis == 0 else rectangle(4, 4, 20, 1)
    assert function(line, np.roll(line, shift, axis)) == shift


def test_shifted_line_has_its_distance_in_the_step_of_the_right_axis():
    across = rectangle(4, 4, 1, 20), rectangle(9, 4, 1, 20)
    along = rectangle(4, 4, 20, 1), rectangle(4, 9, 20, 1)
    assert pooled_hd95(*across, spacing=(0.5, 0.1)) == hd95(*across, spacing=(0.5, 0.1)) == pytest.approx(2.5)
    assert pooled_hd95(*along, spacing=(0.5, 0.1)) == hd95(*along, spacing=(0.5, 0.1)) == pytest.approx(0.5)


def test_shifted_rectangle_is_as_far_as_its_shift_and_overlaps_by_the_rest():
    # 20 of the rectangle's 46 surface pixels lie on the two short sides that move apart by 4.
    label = rectangle(10, 10, 10, 15)
    pred = np.roll(label, 4, axis=1)
    assert pooled_hd95(pred, label) == hd95(pred, label) == 4
    assert dice(pred, label) == pytest.approx(11 / 15)


def test_concentric_discs_differ_by_their_radii():
    assert pooled_hd95(disc(24, 32, 8), disc(24, 32, 18)) == pytest.approx(10, abs=0.75)


def test_distant_false_spot_separates_the_two_definitions():
    lesion = np.zeros((9, 40), bool)
    lesion[2:7, 2:7] = True  # 16 surface pixels, columns 2 to 6
    pred = lesion.copy()
    pred[4, 30:32] = True  # two more, 24 and 25 pixels away
    # Directed: 18 distances, position 16.15 between 24 and 25. Pooled: 34, position 31.35 between 0 and 24.
    assert hd95(pred, lesion) == pytest.approx(24.15)
    assert pooled_hd95(pred, lesion) == pytest.approx(0.35 * 24)
    assert hd95(lesion, pred) == pytest.approx(24.15)


def test_picture_border_is_surface():
    # Were the border not surface, the full picture would have none and the distance would not be 4 rows.
    pred, label = np.ones((9, 1), bool), rectangle(4, 0, 1, 1, (9, 1))
    assert pooled_hd95(pred, label) == pytest.approx(np.percentile([4, 3, 2, 1, 0, 1, 2, 3, 4, 0], 95))


@pytest.mark.parametrize(
    ("pred", "label", "expected_dice", "missed", "false_alarm"),
    [(EMPTY, disc(20, 20, 5), 0.0, True, False), (disc(20, 20, 5), EMPTY, 0.0, False, True), (EMPTY, EMPTY, 1, 0, 0)],
    ids=["missed", "false alarm", "rightly nothing"],
)
def test_empty_masks_are_scored_and_flagged(pred, label, expected_dice, missed, false_alarm):
    score = score_image(pred, label)
    assert score["dice"] == expected_dice
    assert score["missed"] == missed
    assert score["false_alarm"] == false_alarm
    assert math.isnan(score["hd95"])
    assert math.isnan(score["hd95_monai"])
    assert math.isnan(pooled_hd95(pred, label))
    assert math.isnan(hd95(pred, label))


def test_takes_masks_of_other_types_and_lists_of_steps():
    import torch

    pred, label = PAIRS["overlapping"]
    expected = score_image(pred, label, spacing=(0.3, 0.2))
    assert score_image(255 * pred.astype(np.uint8), label.astype(np.float32), spacing=[0.3, 0.2]) == expected
    assert score_image(torch.as_tensor(pred), np.asfortranarray(label), spacing=np.array([0.3, 0.2])) == expected


@pytest.mark.parametrize("function", [dice, pooled_hd95, hd95, score_image])
@pytest.mark.parametrize(
    ("pred", "label", "match"),
    [
        (np.zeros((4, 5), bool), np.zeros((5, 4), bool), r"\(4, 5\), \(5, 4\)"),
        (np.zeros((1, 4, 5), bool), np.zeros((1, 4, 5), bool), r"pred: must be of shape \(H, W\), got \(1, 4, 5\)"),
        (np.zeros(4, bool), np.zeros(4, bool), r"got \(4,\)"),
        (np.full((4, 5), 0.3), np.ones((4, 5)), "pred: must be a mask, got float64.* Threshold"),
        (np.ones((4, 5)), np.full((4, 5), np.nan), "label: must be a mask"),
    ],
    ids=["sizes", "3-D", "1-D", "probabilities", "nan"],
)
def test_rejects_what_is_no_pair_of_masks(function, pred, label, match):
    with pytest.raises(InputError, match=match):
        function(pred, label)


@pytest.mark.parametrize("spacing", [(0.1,), (0.1, 0.0), (0.1, -1), (0.1, math.nan), (0.1, math.inf), 0.1, ("a", "b")])
@pytest.mark.parametrize("pred", [disc(20, 20, 5), EMPTY], ids=["found", "empty"])
def test_rejects_spacing_that_is_no_pair_of_steps(spacing, pred):
    with pytest.raises(InputError, match=r"spacing: must be two positive steps in mm: row, column, got .*"):
        score_image(pred, disc(20, 20, 5), spacing=spacing)


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


def test_summary_by_column_holds_the_summary_of_each_value_alone():
    rows = records()
    by = summarise(rows, by=["device", "view"])["by"]
    assert list(by) == ["device", "view"]
    assert list(by["device"]) == ["", "A", 'B, "old"']  # the last image names no device
    alone = {key: value for key, value in summarise(rows[:2]).items() if key != "by"}
    np.testing.assert_equal(by["device"]["A"], alone)  # nan equals nan
    assert by["view"]["side"]["failures"] == 2
    assert sum(group["n"] for group in by["view"].values()) == len(rows)


def test_one_column_needs_no_list():
    assert list(summarise(records(), by="device")["by"]) == ["device"]


def test_rejects_a_column_that_no_image_has_and_names_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"by: must name columns .* case_id, view, device, spacing, got centre"):
        write_tables(records(), tmp_path / "tables", by=["device", "centre"])
    assert not (tmp_path / "tables").exists()


def test_rejects_no_images_and_images_without_scores():
    with pytest.raises(InputError, match="at least one image, got none"):
        summarise([])
    with pytest.raises(InputError, match=r"records\[1\]: must have hd95, missed, got case_id"):
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
