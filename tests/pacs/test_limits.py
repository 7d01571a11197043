"""Limits: numbers above 0, changed by name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.limits import Limits


def test_every_limit_is_explained():
    assert [name for name in (each.name for each in fields(Limits)) if f"        {name}: " not in Limits.__doc__] == []


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "3", None])
def test_what_is_no_number_above_zero_is_refused(value):
    with pytest.raises(InputError, match="limit silence: must be a number above 0"):
        Limits(silence=value)


def test_limits_are_changed_by_name_and_keep_their_kind():
    changed = Limits().changed(["silence=2.5", "associations=3"])
    assert (changed.silence, changed.associations, changed.pdu) == (2.5, 3, Limits().pdu)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("silence", "must be a number"),
        ("silence=x", "must be a number"),
        ("silence=nan", "above 0"),
        ("visitors=2.5", "must be a whole number"),
        ("noise=3", "must be NAME=NUMBER with a name of object_bytes"),
        ("visitors=-3", "above 0"),
    ],
)
def test_other_changes_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Limits().changed([text])
