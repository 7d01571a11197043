"""Decisions, trust and intervals over scored images, against counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_lesion.measures.decisions import format_decisions, share_of, summarise_decisions
from monai_lesion.measures.metrics import score_image
from monai_lesion.measures.tables import summarise, write_tables


def row(lesions, decision, quality, dice, presence, inside=None):
    flags = {f"{name}_inside": inside for name in ("long_axis", "short_axis", "area")}
    trust = None if decision == "nothing found" else quality
    scores = {"quality": quality, "dice": dice, "presence": presence}
    return {"lesions": lesions, "decision": decision, "trust": trust, **scores, **flags}


ROWS = [
    row(1, "lesion", 0.9, 0.95, 0.9, True),
    row(1, "lesion", 0.8, 0.80, 0.8, True),
    row(1, "doubtful", 0.4, 0.30, 0.7, False),
    row(1, "nothing found", 0.3, 0.10, 0.1),
    row(0, "nothing found", 0.2, 1.0, 0.05),
    row(0, "doubtful", 0.2, 0.0, 0.2),
]


def test_decisions_are_counted_for_pictures_with_and_without_a_lesion():
    found = summarise_decisions(ROWS)
    assert found["with_lesion"] == {"lesion": 2, "doubtful": 1, "nothing found": 1}
    assert found["without_lesion"] == {"lesion": 0, "doubtful": 1, "nothing found": 1}
    assert (found["lost"]["count"], found["lost"]["n"]) == (1, 4)
    assert (found["false_alarms"]["count"], found["false_alarms"]["n"]) == (1, 2)
    assert found["auc_presence"] == pytest.approx(7 / 8)


def test_trust_is_judged_on_pictures_with_a_lesion():
    found = summarise_decisions(ROWS)
    assert found["spearman"] == 1
    assert found["auc_poor"] == 1
    assert found["dice_of_trusted"] == pytest.approx((0.95 + 0.8 + 0.3) / 3)  # 80 % of four are three
    assert found["calibration_error"] == pytest.approx((0.05 + 0 + 0.1) / 3)
    assert (found["coverage"]["area"]["count"], found["coverage"]["area"]["n"]) == (2, 3)


def test_a_table_read_back_gives_the_same():
    texts = [
        {
            key: "" if value is None else str(value).replace("True", "1").replace("False", "0")
            for key, value in each.items()
        }
        for each in ROWS
    ]
    assert summarise_decisions(texts) == summarise_decisions(ROWS)


def test_without_decisions_there_is_nothing_to_say():
    assert summarise_decisions([{**ROWS[0], "decision": None}]) == {}
    assert summarise_decisions([]) == {}
    assert format_decisions({}) == ""


def test_what_cannot_be_computed_is_nan():
    found = summarise_decisions(ROWS[:1])
    assert math.isnan(found["auc_presence"])
    assert math.isnan(found["false_alarms"]["share"])
    assert "false alarms without a lesion: 0 of 0" in format_decisions(found)


def test_the_text_says_counts_and_intervals():
    text = format_decisions(summarise_decisions(ROWS))
    assert "lesions lost: 1 of 4 (25.0 %, 0.6-80.6 %)" in text
    assert "decisions with a lesion: 2 lesion, 1 doubtful, 1 nothing found" in text
    assert share_of([])["n"] == 0


def test_an_evaluations_tables_have_it(tmp_path):
    square = np.zeros((8, 8), bool)
    square[2:6, 2:6] = True
    rows = [{"case_id": str(i), **score_image(square, square), **ROWS[0]} for i in range(3)]
    rows = [{**each, "dice": 1.0} for each in rows]
    summary = write_tables(rows, tmp_path)
    assert summary["trust"]["with_lesion"]["lesion"] == 3
    assert summarise(rows)["trust"] == summary["trust"] or math.isnan(summary["trust"]["auc_presence"])
    header = (tmp_path / "per_image.csv").read_text().splitlines()[0]
    assert {"presence", "quality", "decision", "trust", "area_inside"} <= set(header.split(","))
