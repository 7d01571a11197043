"""The rules of entries, each broken by itself; test_manifests breaks them in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_lesion.datasets.entries import check_entries
from monai_lesion.errors import ManifestError

ENTRY = {"case_id": "1", "view": "a", "image": "1.png", "label": "1_mask.png"}


def test_entries_that_keep_the_rules_pass() -> None:
    other = {**ENTRY, "case_id": "2", "image": "2.png", "label": None, "empty": True, "spacing": [0.1, 2], "frame": 3}
    check_entries(Path("m.json"), {"training": [ENTRY], "test": [other]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "label is null, not text or a list of it"),
        ({"empty": "true"}, "empty is .true., neither true nor false"),
        ({"spacing": "0.1,0.1"}, "spacing is .0.1,0.1., not the two steps"),
        ({"patient_id": ""}, "patient_id is .., not text"),
        ({"image": "../1.png"}, "image ../1.png is not a path inside the data folder"),
    ],
)
def test_a_broken_rule_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=rf"training\[0\]: {message}"):
        check_entries(Path("m.json"), {"training": [{**ENTRY, **change}]})


def test_one_patient_in_two_splits_is_refused() -> None:
    first, second = ({**ENTRY, "case_id": case, "image": f"{case}.png", "patient_id": "P"} for case in "12")
    with pytest.raises(ManifestError, match=r"(?s)no patient may be in two splits.*patient_id P: test, training"):
        check_entries(Path("m.json"), {"training": [first], "test": [second]})
