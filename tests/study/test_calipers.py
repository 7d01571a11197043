"""What calipers do to a network, measured on pictures with them, without them and with them elsewhere."""

import csv
import json

import numpy as np
import pytest

from monai_lesion.calipers import find_annotations
from monai_lesion.errors import InputError
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.report.calipers import format_comparison, write_comparison
from monai_lesion.study.calipers import compare_images, differences, variants
from tests.calipers.pictures import centres, leaning, write_pictures


@pytest.fixture
def entries(tmp_path):
    return write_pictures(tmp_path)


@pytest.mark.slow
def test_variants_differ_only_where_they_should():
    views = (view for case in range(2) for view in simulate_case(31, case).views)
    view = next(view for view in views if view.calipers)
    found = find_annotations(view.pixels)
    made = variants(view.pixels, found, np.random.default_rng(0))
    assert list(made.pictures) == ["original", "removed", "moved", "control"]
    assert made.shift != (0, 0)
    assert made.pictures["original"] is view.pixels
    assert centres(find_annotations(made.pictures["control"])) == centres(found)
    assert not find_annotations(made.pictures["removed"])
    blue = {name: int((np.ptp(picture, axis=2) > 40).sum()) for name, picture in made.pictures.items()}
    assert blue["removed"] == 0
    assert 0.8 * blue["original"] < blue["moved"] <= blue["original"]


def test_a_network_that_leans_on_calipers_is_found_out(entries, tmp_path):
    records = compare_images(leaning, entries, seed=1)
    count = 3
    assert len(records) == 4 * count + 1
    changes = differences(records)
    original = {
        record["image"]: record["dice"] for record in records if record["variant"] == "original" and record["markers"]
    }
    assert changes["removed"]["dice"].mean == pytest.approx(-np.mean(list(original.values())))
    assert changes["removed"]["dice"].images == count
    assert changes["moved"]["dice"].mean < -0.3
    assert changes["control"]["dice"].mean == 0
    assert changes["control"]["dice"].p == 1
    table = write_comparison(records, tmp_path / "out", {"manifest": "views"})
    assert f"found in {count} of 4 images" in table
    rows = list(csv.DictReader((tmp_path / "out" / "calipers.csv").open()))
    assert [row["variant"] for row in rows[:4]] == ["original", "removed", "moved", "control"]
    assert next(row for row in rows if row["variant"] == "removed")["hd95"] == ""  # nothing found: no distance
    facts = json.loads((tmp_path / "out" / "calipers.json").read_text())
    assert facts["changes"]["removed"]["hd95"]["mean"] is None
    assert (tmp_path / "out" / "calipers.md").read_text().endswith(table + "\n")


def test_a_network_that_does_not_see_calipers_changes_nothing(entries):
    records = compare_images(lambda picture: np.ones(picture.shape[:2], np.uint8), entries[:2], seed=1)
    assert {change.mean for by_measure in differences(records).values() for change in by_measure.values()} == {0.0}


def test_the_differences_are_those_of_an_independent_wilcoxon_test():
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(0)
    records = [
        {"case_id": str(i), "image": str(i), "markers": 2, "variant": name, "dice": value, "hd95": 1.0, "missed": False}
        for i in range(30)
        for name, value in zip(("original", "removed", "moved", "control"), rng.uniform(size=4), strict=True)
    ]
    dice = {n: [r["dice"] for r in records if r["variant"] == n] for n in ("original", "removed")}
    change = differences(records)["removed"]["dice"]
    assert change.p == pytest.approx(wilcoxon(dice["removed"], dice["original"]).pvalue)
    assert change.mean == pytest.approx(np.mean(dice["removed"]) - np.mean(dice["original"]))
    assert change.low < change.mean < change.high
    assert change.p <= change.p_holm <= min(1.0, 6 * change.p)


def test_a_comparison_without_any_calipers_is_refused(entries):
    records = compare_images(leaning, entries[3:])
    assert [record["variant"] for record in records] == ["original"]
    with pytest.raises(InputError, match="must have calipers in at least one of them, got none found"):
        format_comparison(records)
