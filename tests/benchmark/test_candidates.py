"""Which networks are meant."""

from __future__ import annotations

from monai_lesion.benchmark.candidates import find_candidates


def test_group_sizes_that_a_width_has_not_are_left_out() -> None:
    found = find_candidates(["@8", "u-net"], [0.1875], {})
    assert [each.name for each in found] == ["U-net, width 0.1875"]
