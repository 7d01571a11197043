"""Patients are dealt to splits: exact sizes, seeded, balanced by stratum."""

from __future__ import annotations

from collections import Counter

import pytest

from monai_lesion.datasets.splits import DEALT, assign_splits, deal, set_aside, split_sizes
from monai_lesion.errors import InputError


def test_each_stratum_gets_its_share_within_one_group() -> None:
    strata = {f"{number:03}": "abbcccc"[number % 7] for number in range(348)}
    sizes = [208, 70, 70]
    dealt = assign_splits(strata, sizes, seed=1)
    assert [sum(split == number for split in dealt.values()) for number in range(3)] == sizes
    for stratum, total in Counter(strata.values()).items():
        for number, size in enumerate(sizes):
            found = sum(dealt[group] == number for group in strata if strata[group] == stratum)
            assert abs(found - total * size / 348) <= 1


def test_seed_moves_groups_and_their_order_does_not() -> None:
    strata = {str(number): "" for number in range(50)}
    backwards = dict(reversed(strata.items()))
    assert assign_splits(strata, [30, 10, 10], seed=0) == assign_splits(backwards, [30, 10, 10], seed=0)
    assert assign_splits(strata, [30, 10, 10], seed=0) != assign_splits(strata, [30, 10, 10], seed=1)


@pytest.mark.parametrize(
    ("split", "groups", "sizes"),
    [
        ((0.6, 0.2, 0.2), 348, [209, 70, 69]),
        ((208, 70, 70), 348, [208, 70, 70]),
        ((0.5, 0.25, 0.25), 3, [1, 1, 1]),
        ((1, 0, 0), 7, [7, 0, 0]),
        ((0.7, 0.3, 0), 10, [7, 3, 0]),
    ],
)
def test_ratios_become_sizes_that_add_up(split: tuple[float, ...], groups: int, sizes: list[int]) -> None:
    assert split_sizes(split, groups) == sizes


def test_dealing_needs_no_patient_and_keeps_the_order() -> None:
    entries = [{"case_id": str(case), "view": view} for case in range(6) for view in "ab"]
    lists = deal(entries, (3, 2, 1), seed=0)
    assert [len(lists[name]) for name in DEALT] == [6, 4, 2]
    for name in DEALT:
        assert lists[name] == [entry for entry in entries if entry in lists[name]]


def test_set_aside_keeps_the_order_and_leaves_the_rest_as_it_was() -> None:
    entries = [{"case_id": str(case), "view": view} for case in range(20) for view in "ab"]
    stays, aside = set_aside(entries, 0.15, seed=0)
    assert len(aside) == 6
    assert [entry for entry in entries if entry in aside] == aside
    assert [entry for entry in entries if entry not in aside] == stays
    assert set_aside(entries, 0, seed=0) == (entries, [])
    for share in (1, -0.1):
        with pytest.raises(InputError, match="share set aside: must be at least 0 and below 1, got"):
            set_aside(entries, share, seed=0)


@pytest.mark.parametrize(
    ("patients", "split", "sizes"),
    [(3, (0.6, 0.2, 0.2), [1, 1, 1]), (4, (0.8, 0.1, 0.1), [2, 1, 1]), (5, (0.98, 0.02, 0), [4, 1, 0])],
)
def test_every_split_that_is_asked_for_gets_a_patient(
    patients: int, split: tuple[float, ...], sizes: list[int]
) -> None:
    assert split_sizes(split, patients) == sizes


def test_a_split_that_would_be_empty_is_refused_unless_none_was_asked_for() -> None:
    entries = [{"case_id": case, "view": view} for case in ("front", "side") for view in "ab"]
    with pytest.raises(InputError, match=r"must leave a patient for test, got 2 patients: front, side\. Correct"):
        deal(entries, (0.6, 0.2, 0.2), seed=0)
    assert [len(each) for each in deal(entries, (1, 0, 0), seed=0).values()] == [4, 0, 0]
    with pytest.raises(InputError, match=r"share set aside: must leave patients on both sides, got 0\.1 of 1"):
        set_aside(entries[:2], 0.1, seed=0)
