"""What a table adds to entries: typed, blank where blank, matched by case or by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_lesion.datasets.tables import with_columns
from monai_lesion.errors import InputError

ENTRIES = [{"case_id": str(number), "view": "a", "image": f"i/{number}.png"} for number in (1, 2)]


def joined(folder: Path, text: str, key: str = "case_id") -> list[dict[str, Any]]:
    (folder / "t.csv").write_text(text)
    return with_columns(ENTRIES, folder / "t.csv", key)


def test_values_are_what_a_manifest_wants(tmp_path: Path) -> None:
    first, second = joined(
        tmp_path, 'case_id,empty,spacing,frame,patient_id,age\n1,yes,0.1 x 0.2,3,P,50\n2,No,"[0.3]",,,'
    )
    assert first == {**ENTRIES[0], "empty": True, "spacing": [0.1, 0.2], "frame": 3, "patient_id": "P", "age": "50"}
    assert second == {**ENTRIES[1], "empty": False, "spacing": [0.3, 0.3]}


@pytest.mark.parametrize("mark", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_values_may_be_parted_as_spreadsheets_do(mark: str, tmp_path: Path) -> None:
    text = "case_id,age\n1,50\n2,60\n".replace(",", mark)
    assert [entry["age"] for entry in joined(tmp_path, text)] == ["50", "60"]


def test_spaces_around_names_and_values_are_no_part_of_them(tmp_path: Path) -> None:
    assert [entry["age"] for entry in joined(tmp_path, " case_id , age \n 1 , 50 \n2,60\n")] == ["50", "60"]


def test_a_table_without_the_key_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must have the column case_id, got id, age. --key names the column"):
        joined(tmp_path, "id,age\n1,50\n2,60\n")


@pytest.mark.parametrize("names", [("i/1.png", "i/2.png"), ("1.png", "2.png"), ("1", "2")])
@pytest.mark.parametrize("key", ["file", "image"])
def test_rows_may_name_the_files(names: tuple[str, str], key: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{name},{number}" for number, name in enumerate(names))
    assert [entry["side"] for entry in joined(tmp_path, f"{key},side\n{rows}", key)] == ["0", "1"]


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("empty", "perhaps", "empty must be true or false, got perhaps for 1"),
        ("spacing", "0.1 0.2 0.3", "spacing must be the steps of rows and columns"),
        ("spacing", "fine", "spacing must be the steps"),
        ("frame", "first", "frame must be a whole number"),
    ],
)
def test_what_a_manifest_does_not_take_is_refused(column: str, text: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rule):
        joined(tmp_path, f"case_id,{column}\n1,{text}\n2,\n")
