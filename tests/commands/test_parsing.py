"""Text of options becomes lists and numbers."""

from __future__ import annotations

import pytest

from monai_lesion.commands.parsing import listed, numbers
from monai_lesion.errors import InputError


@pytest.mark.parametrize(
    ("text", "parts"), [("png", ["png"]), (" png ,json,", ["png", "json"]), ("", []), (" , ", [])], ids=repr
)
def test_a_text_is_split_at_its_commas(text, parts):
    assert listed(text) == parts


def test_numbers_are_numbers_or_the_option_is_named():
    assert numbers("--split", "0.6, 0.2,.2") == [0.6, 0.2, 0.2]
    with pytest.raises(InputError, match="--split: must be numbers separated by commas, got 1,two"):
        numbers("--split", "1,two")
