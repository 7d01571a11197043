"""What is removed is gone, what is moved is found at its new place, and the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from monai_lesion.calipers import (
    Annotations,
    Marker,
    annotation_mask,
    draw_calipers,
    find_annotations,
    inpaint,
    remove_calipers,
)
from monai_lesion.calipers.removal import move, shift_elsewhere, shifted
from tests.calipers.pictures import ENDS, centres, speckle


@pytest.mark.parametrize("dotted", [False, True], ids=["crosses", "dotted"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_removed_calipers_are_not_found_again_and_the_rest_stays(colour, dotted):
    tissue = np.repeat(speckle()[..., None], 3, axis=2) if colour else speckle()
    drawn = draw_calipers(tissue, ENDS, dotted=dotted)
    removed = remove_calipers(drawn)
    assert not find_annotations(removed)
    touched = (drawn != tissue).reshape(*tissue.shape[:2], -1).any(axis=2)
    rest = binary_erosion(~touched, iterations=3)
    same = (removed == tissue).reshape(*tissue.shape[:2], -1).all(axis=2)
    assert same[rest].mean() > (0.995 if colour else 0.94)  # sharp pixels beside a marker may be taken for its number
    error = np.abs(removed.astype(float) - tissue)
    assert error[touched].mean() < 0.25 * np.abs(drawn.astype(float) - tissue)[touched].mean()


def test_nothing_is_removed_where_nothing_is_found():
    tissue = speckle()
    removed = remove_calipers(tissue)
    np.testing.assert_array_equal(removed, tissue)
    assert removed is not tissue


def test_inpainting_continues_a_plane():
    rows, columns = np.mgrid[0:40, 0:40]
    plane = (rows * 3 + columns * 2).astype(np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[18:21, 10:30] = True
    filled = inpaint(np.where(mask, 255, plane).astype(np.uint8), mask)
    assert np.abs(filled.astype(int) - plane).max() <= 1


@pytest.mark.slow
def test_text_is_removed_on_request_only(views):
    view = next(view for view in views if view.text is not None)
    top, left, bottom, right = view.text
    box = np.s_[top:bottom, left:right]
    found = find_annotations(view.pixels)
    np.testing.assert_array_equal(remove_calipers(view.pixels, found)[box], view.pixels[box])
    assert remove_calipers(view.pixels, found, text=True)[box].max() < view.pixels[box].max() / 2


def test_a_marker_takes_its_number_along():
    picture = draw_calipers(speckle(), [(50, 60)])
    for row in range(38, 45):
        picture[row, 50] = 255  # a 1
    mask = annotation_mask(picture, Annotations((Marker(50, 60, "plus", 5, 0.9),)))
    assert mask[38:45, 50].all()


def test_shifting_loses_what_leaves_and_brings_in_nothing():
    array = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(shifted(array, (1, -2)), [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]])
    np.testing.assert_array_equal(shifted(array, (0, 0)), array)
    assert not shifted(array, (5, 0)).any()


@pytest.mark.parametrize("seed", range(5))
def test_calipers_move_off_their_place_and_stay_in_the_picture(seed):
    mask = np.zeros((100, 140), bool)
    mask[20:45, 30:70] = True
    moved = shifted(mask, shift_elsewhere(mask, np.random.default_rng(seed)))
    assert moved.sum() == mask.sum()
    assert not (moved & mask).any()


def test_moved_calipers_are_found_at_the_shift():
    drawn = draw_calipers(speckle(), [(30, 30), (34, 60)])
    moved = move(drawn, remove_calipers(drawn), (40, 50))
    assert centres(find_annotations(moved)) == {(70, 80), (74, 110)}
