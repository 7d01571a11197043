"""The outline, the axes along it and the part that it encloses, against exhaustive searches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
from skimage.measure import find_contours

from monai_lesion.measures.outlines import largest_part, outline_of
from monai_lesion.measures.sizes import measure
from tests.measures.shapes import SPACINGS, blob, ellipse, rectangle, shoelace


@pytest.mark.parametrize("length", [1, 2, 10])
def test_a_line_of_pixels_is_as_long_as_it_has_pixels(length):
    for mask in (rectangle(1, length), rectangle(length, 1)):
        found = measure(mask)
        assert (found.long_axis.value, found.short_axis.value) == pytest.approx((length, 1))
    found = measure(rectangle(1, length))
    if length == 10:
        assert found.long_axis_ends == ((5.0, 6.5), (5.0, 16.5))


@pytest.mark.parametrize("seed", range(6))
def test_outline_encloses_the_pixels_but_half_of_one(seed):
    # Each convex corner of the staircase loses an eighth of a pixel, each concave one gains it: four more are convex.
    found = measure(blob(seed))
    assert shoelace(found.contour) == pytest.approx(found.area.value - 0.5)


def test_outline_has_the_points_of_scikit_image_in_their_order():
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = rng.random(rng.integers(1, 20, 2)) < rng.random()
        mask.flat[0] |= not mask.any()
        lesion, corner, components, outline = largest_part(mask)
        (expected,) = find_contours(np.pad(lesion, 1).astype(float), 0.5, fully_connected="high")
        np.testing.assert_array_equal(outline, expected[:-1] - 1)
        np.testing.assert_array_equal(outline_of(lesion), outline)
        labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
        part = scipy.ndimage.binary_fill_holes(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
        assert components == count
        assert (corner, lesion.sum()) == (tuple(np.argwhere(part).min(0)), part.sum())


def test_lengths_of_smooth_shapes_lie_closer_to_the_truth_than_with_pixel_corners_and_not_below():
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(60):
        mask, a, b = ellipse(*(rng.uniform(10, 30) * np.array([1, 0.6])), rng.uniform(0, np.pi), None, rng.random(2))
        found = measure(mask)
        errors.append((found.long_axis.value - 2 * a, found.short_axis.value - 2 * b))
    long_bias, short_bias = np.mean(errors, axis=0)
    assert 0.2 < long_bias < 0.6  # px; pixel centres give -0.5, pixel corners +0.9
    assert 0.05 < short_bias < 0.4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.1)], ids=["square", "tall"])
def test_long_axis_is_the_longest_of_all_distances_between_pixel_edges(seed, spacing):
    pixels = np.argwhere(blob(seed))
    edges = np.concatenate([pixels + step for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]) * spacing
    places, uses = np.unique(np.round(edges, 9), axis=0, return_counts=True)
    places = places[uses == 1]  # an edge that two pixels share lies inside
    longest = np.hypot(*(places[:, None] - places).T).max()
    assert measure(blob(seed), spacing).long_axis.value == pytest.approx(longest, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.1)], ids=["square", "tall"])
def test_short_axis_is_the_longest_of_many_scanned_chords(seed, spacing):
    found = measure(blob(seed), spacing)
    outline, ends = found.contour * spacing, np.array(found.long_axis_ends) * spacing
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    start, across = outline @ along, outline @ np.array([-along[1], along[0]])
    stop, after = np.roll(start, -1), np.roll(across, -1)
    longest = 0.0
    for position in np.linspace(start.min(), start.max(), 3001)[1:-1]:
        cut = (start <= position) != (stop <= position)
        share = (position - start[cut]) / (stop[cut] - start[cut])
        longest = max(longest, np.ptp(across[cut] + share * (after[cut] - across[cut])))
    assert longest - 1e-9 <= found.short_axis.value <= longest + 0.05 * max(spacing)


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_axes_are_perpendicular_and_join_their_ends(spacing):
    found, steps = measure(blob(3), spacing), np.ones(2) if spacing is None else np.asarray(spacing)
    long_axis, short_axis = (np.subtract(*ends) * steps for ends in (found.long_axis_ends, found.short_axis_ends))
    assert np.linalg.norm(long_axis) == pytest.approx(found.long_axis.value)
    assert np.linalg.norm(short_axis) == pytest.approx(found.short_axis.value)
    assert long_axis @ short_axis == pytest.approx(0, abs=1e-9)
    assert found.long_axis_ends[0] < found.long_axis_ends[1]
    assert found.short_axis_ends[0] < found.short_axis_ends[1]


def test_short_axis_bridges_a_notch_and_has_both_ends_on_the_outline():
    mask = rectangle(21, 60)
    mask[5:21, 30:34] = False  # a slit from above, almost through
    found = measure(mask)
    assert found.short_axis.value == pytest.approx(measure(rectangle(21, 60)).short_axis.value)


@pytest.mark.parametrize("seed", [24, 26, 27, 51, 72])
def test_a_mirrored_lesion_has_the_same_axes_though_several_diameters_are_longest(seed):
    rng = np.random.default_rng(seed)
    mask = np.hypot(*np.mgrid[-12:14, -12:14]) < rng.uniform(6, 10)
    mask[rng.integers(4, 12), rng.integers(4, 22)] = False
    for _ in range(3):  # dents
        mask[rng.integers(2, 24), rng.integers(2, 9)] = False
    views = mask, mask[::-1], mask[:, ::-1], mask.T, mask[::-1].T
    assert np.ptp([measure(view, (0.1, 0.1)).short_axis.value for view in views]) < 1e-9


def test_holes_count_as_lesion():
    holed = rectangle(20, 30)
    holed[10:15, 12:20] = False
    assert measure(holed).to_dict() == measure(rectangle(20, 30)).to_dict()


def test_largest_part_is_measured_and_the_parts_are_counted():
    mask = rectangle(10, 20) | rectangle(4, 9, top=40, left=50)
    found = measure(mask)
    assert found.components == 2
    assert {**found.to_dict(), "components": 1} == measure(rectangle(10, 20)).to_dict()


def test_largest_of_three_parts_is_measured_wherever_it_lies():
    small, large, middle = rectangle(4, 9, top=1), rectangle(10, 20, top=20, left=30), rectangle(8, 8, top=50, left=3)
    found = measure(small | large | middle)
    assert found.components == 3
    assert {**found.to_dict(), "components": 1} == measure(large).to_dict()
    assert (found.height.value, found.width.value, found.centroid) == (10, 20, (24.5, 39.5))


def test_of_equal_parts_the_first_from_the_top_is_measured():
    upper, lower = rectangle(6, 9, top=10, left=60), rectangle(6, 9, top=30, left=2)
    assert measure(upper | lower).centroid == measure(upper).centroid


def test_perimeter_of_a_pixel_is_what_its_lines_in_eight_directions_give():
    """Crofton: each direction's share of the half circle over the length of its step, for each pair of crossings."""
    wide, narrow = math.atan(1 / 2), math.pi / 4 - math.atan(1 / 2)  # gaps beside (0, 1) and beside (1, 1)
    expected = 2 * wide + 4 * (wide + narrow) / 2 / math.sqrt(5) + 2 * narrow / math.sqrt(2)
    assert measure(rectangle(1, 1)).perimeter.value == pytest.approx(expected)
    assert measure(rectangle(1, 1), (0.3, 0.3)).perimeter.value == pytest.approx(0.3 * expected)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.2, 0.1), (0.1, 0.3), (0.01, 0.2)], ids=str)
def test_perimeter_of_a_large_disc_and_of_a_large_square_on_its_corner(spacing):
    steps = np.array(spacing)
    half = 40 * steps.max()
    rows, columns = np.ceil(half / steps).astype(int) + 2
    down, right = (np.mgrid[-rows : rows + 1, -columns : columns + 1] + 0.3) * steps[:, None, None]
    disc, diamond = np.hypot(down, right) < half, np.abs(down) + np.abs(right) < half
    assert measure(disc, spacing).perimeter.value == pytest.approx(2 * math.pi * half, rel=0.01)
    assert measure(diamond, spacing).perimeter.value == pytest.approx(4 * math.sqrt(2) * half, rel=0.04)


def test_parts_that_touch_at_a_corner_are_one():
    found = measure(np.eye(7, dtype=bool))
    assert found.components == 1
    assert found.long_axis.value == pytest.approx(math.hypot(7, 6))


def test_a_ring_closed_by_corners_is_filled():
    ring = np.zeros((7, 7), bool)
    ring[[1, 2, 3, 4, 5, 4, 3, 2], [3, 2, 1, 2, 3, 4, 5, 4]] = True
    assert measure(ring).area.value == 13  # a diamond of radius 2
