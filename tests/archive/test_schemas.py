from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monai_lesion.archive.schemas import COLUMNS, NAMES, VERSION, arrow_schema, load_arrow
from monai_lesion.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "archive-schema.md"


def test_each_column_is_documented_with_its_type_and_meaning():
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert lines == [f"| `{each.name}` | {each.kind} | {each.meaning} |" for each in COLUMNS]
    assert f"version {VERSION}" in text


def test_names_are_unique_and_arrow_has_them_in_order():
    assert len(set(NAMES)) == len(NAMES)
    assert tuple(arrow_schema().names) == NAMES
    assert [field.name for field in arrow_schema() if not field.nullable] == ["row"]


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"needs pyarrow. pip install 'monai-lesion\[archive\]'"):
        load_arrow()
