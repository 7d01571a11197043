"""Lesions counted one by one, on masks whose count is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.measures.lesions import count_lesions, has_lesion, lesion_cells, summarise_lesions


def boxes(*corners: tuple[int, int], size: int = 8) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    for row, column in corners:
        mask[row : row + size, column : column + size] = True
    return mask


THREE = boxes((2, 2), (2, 40), (40, 20))


@pytest.mark.parametrize(
    ("pred", "label", "counts"),
    [
        (THREE, THREE, (3, 3)),
        (boxes((2, 2)), THREE, (3, 1)),
        (boxes((9, 9)), THREE, (3, 1)),  # a corner will do
        (boxes((20, 50)), THREE, (3, 0)),
        (np.ones((64, 64), bool), THREE, (3, 3)),
        (boxes((2, 2)), boxes(), (0, 0)),
        (boxes(), boxes((2, 2), (10, 10)), (1, 0)),  # they touch at a corner: one lesion
    ],
    ids=["all", "one of three", "corner", "elsewhere", "everything", "no lesion", "diagonal"],
)
def test_lesions_are_counted_and_found_one_by_one(pred: np.ndarray, label: np.ndarray, counts: tuple[int, int]) -> None:
    assert count_lesions(pred, label) == counts


def test_speck_beside_a_large_lesion_is_none_and_a_small_lesion_is_one() -> None:
    label = boxes((0, 0), size=40)
    label[60, 60] = True
    assert count_lesions(label, label) == (1, 1)
    label[60, 61] = True  # two of 1,600 pixels
    assert count_lesions(label, label) == (2, 2)
    alone = np.zeros((64, 64), bool)
    alone[60, 60] = True
    assert count_lesions(alone, alone) == (1, 1)


@pytest.mark.parametrize(("size", "lesions"), [(999, 2), (1000, 2), (1001, 1)])
def test_a_pixel_counts_beside_a_lesion_of_up_to_a_thousand(size: int, lesions: int) -> None:
    label = np.zeros((64, 64), bool)
    label.ravel()[:size] = True
    label[60, 60] = True
    assert count_lesions(label, label) == (lesions, lesions)


@pytest.mark.parametrize("name", ["pred", "label"])
def test_what_is_no_mask_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: must be a mask, got float64"):
        count_lesions(**{"pred": THREE, "label": THREE, name: np.full((64, 64), 0.5)})


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"two masks \(H, W\) of one size, got \(4, 4\), \(4, 5\)"):
        count_lesions(np.zeros((4, 4)), np.zeros((4, 5)))


def test_tables_without_counts_say_nothing() -> None:
    old = {"dice": 1.0, "false_alarm": 0}
    assert has_lesion(old)
    assert summarise_lesions([old, {**old, "lesions": 0, "lesions_found": 0}]) == {}
    assert lesion_cells({"n": 2}) == ("", "")


def test_counts_read_back_from_a_table_are_the_same() -> None:
    rows = [
        {"lesions": 0, "lesions_found": 0, "false_alarm": True},
        {"lesions": 0, "lesions_found": 0, "false_alarm": False},
        {"lesions": 3, "lesions_found": 1, "false_alarm": 0},
    ]
    texts = [{key: str(int(value)) for key, value in row.items()} for row in rows]
    assert summarise_lesions(texts) == summarise_lesions(rows)
    assert summarise_lesions(rows)["without_lesion"] == {"n": 2, "false_alarms": 1, "share": 0.5}
    assert lesion_cells({"n": 3, **summarise_lesions(rows)}) == ("1 of 3", "1 of 2 (50%)")
    assert math.isnan(summarise_lesions(rows[2:])["without_lesion"]["share"])
    assert lesion_cells({"n": 1, **summarise_lesions(rows[2:])}) == ("1 of 3", "")
