from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.images.overlays import PREDICTION, REFERENCE, draw_overlay, pick_by_percentile


def square(top, size=12):
    mask = np.zeros((40, 50), bool)
    mask[top : top + size, 10 : 10 + size] = True
    return mask


def coloured(picture, colour):
    return (picture == np.array(colour)).all(axis=2)


def test_reference_is_red_prediction_green_and_both_follow_their_edges():
    picture = draw_overlay(np.full((40, 50), 90, np.uint8), label=square(5), pred=square(22))
    for mask, colour in ((square(5), REFERENCE), (square(22), PREDICTION)):
        rows, columns = np.nonzero(coloured(picture, colour))
        inside_rows, inside_columns = np.nonzero(mask)
        assert abs(rows.min() - inside_rows.min()) <= 2
        assert abs(rows.max() - inside_rows.max()) <= 2
        assert abs(columns.min() - inside_columns.min()) <= 2
        assert abs(columns.max() - inside_columns.max()) <= 2
        assert not coloured(picture, colour)[inside_rows.min() + 4 : inside_rows.max() - 3, 14:18].any()


def test_all_but_the_contours_stays_as_it_was_and_so_does_the_input():
    image = np.random.default_rng(0).integers(0, 60, (40, 50, 3), dtype=np.uint8)
    before = image.copy()
    picture = draw_overlay(image, pred=square(5))
    changed = (picture != image).any(axis=2)
    assert changed.any()
    np.testing.assert_array_equal(changed, coloured(picture, PREDICTION))
    np.testing.assert_array_equal(image, before)


def test_a_lesion_at_the_border_is_drawn():
    mask = np.zeros((40, 50), bool)
    mask[:10, :10] = True
    assert coloured(draw_overlay(np.zeros((40, 50), np.uint8), pred=mask), PREDICTION).any()


def test_an_empty_mask_draws_nothing():
    assert not draw_overlay(np.zeros((40, 50), np.uint8), pred=np.zeros((40, 50))).any()


def test_rejects_a_mask_of_another_size():
    with pytest.raises(InputError, match=r"pred: must have the picture's size \(40, 50\), got \(50, 40\)"):
        draw_overlay(np.zeros((40, 50), np.uint8), pred=square(5).T)


@pytest.mark.parametrize(
    ("percentiles", "expected"), [([0], [3]), ([0, 100], [3, 0]), ([0, 25, 50, 75, 100], [3, 1, 4, 2, 0]), ([], [])]
)
def test_percentiles_run_from_worst_to_best(percentiles, expected):
    assert pick_by_percentile([0.9, 0.3, 0.7, 0.1, 0.5], percentiles) == expected
