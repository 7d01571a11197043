"""Simulated cases: exact masks, and pictures like ultrasound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from monai_lesion.phantoms.cases import CALIPER_COLOUR, VIEW_SIZES, simulate_case

SEEDS = (0, 1, 2, 3)


SEED = 7


@pytest.fixture(scope="module")
def ellipsoids():
    return [simulate_case(seed, 5 * seed, irregularity=0) for seed in SEEDS]


@pytest.fixture(scope="module")
def cases():
    """Irregular, as drawn."""
    return [simulate_case(SEED, case) for case in range(5)]


def plane(view):
    """The coordinates (x, y, z) that span a view: lateral and depth."""
    return [0, 1] if view.view == "front" else [2, 1]


def millimetres(view):
    """(H, W, 3) offsets of the pixel centres from the lesion's centre, in the shape's coordinates."""
    rows, columns = np.indices(view.mask.shape)
    offsets = np.zeros((*view.mask.shape, 3))
    lateral, depth = plane(view)
    offsets[..., lateral] = (columns - view.centre[1]) * view.spacing[1]
    offsets[..., depth] = (rows - view.centre[0]) * view.spacing[0]
    return offsets


def ellipse_of(case, view):
    """The matrix of the ellipse in which a view's plane cuts the ellipsoid: its rows and columns of R S^-2 R^T."""
    solid = case.shape.rotation @ np.diag(np.asarray(case.semi_axes_mm) ** -2.0) @ case.shape.rotation.T
    return solid[np.ix_(plane(view), plane(view))]


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_rotations_are_rotations(ellipsoids):
    for case in ellipsoids:
        np.testing.assert_allclose(case.shape.rotation @ case.shape.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(case.shape.rotation) == pytest.approx(1)


@pytest.mark.parametrize("number", range(len(SEEDS)), ids=[f"seed{seed}" for seed in SEEDS])
def test_mask_of_an_ellipsoid_is_the_ellipse_of_its_cut(ellipsoids, number):
    case = ellipsoids[number]
    for view in case.views:
        matrix = ellipse_of(case, view)
        short, long = 1 / np.sqrt(np.linalg.eigvalsh(matrix)[::-1])
        area = np.pi * short * long / (view.spacing[0] * view.spacing[1])
        assert view.mask.sum() == pytest.approx(area, rel=0.01)
        assert view.long_axis_mm == pytest.approx(2 * long, rel=2e-3)
        assert view.short_axis_mm == pytest.approx(2 * short, rel=1e-2)
        np.testing.assert_allclose(np.argwhere(view.mask).mean(axis=0), view.centre, atol=0.5)
        offsets = millimetres(view)[..., plane(view)]
        inside = np.einsum("...i,ij,...j->...", offsets, matrix, offsets) <= 1
        assert (inside != view.mask).sum() <= 2  # pixel centres on the outline itself


@pytest.mark.parametrize("number", range(3))
def test_mask_of_an_irregular_lesion_is_the_cut_of_its_solid(cases, number):
    case = cases[number]
    for view in case.views:
        scaled = millimetres(view) @ case.shape.rotation / np.asarray(case.semi_axes_mm)
        radius = np.linalg.norm(scaled, axis=-1)
        direction = scaled / np.maximum(radius, 1e-9)[..., None]
        surface = np.ones(view.mask.shape)
        for *normal, phase, amplitude in case.shape.waves:
            surface += case.shape.irregularity * amplitude * np.sin(direction @ np.asarray(normal) + phase)
        assert case.shape.irregularity > 0
        assert ((radius <= surface) != view.mask).sum() <= 0.002 * view.mask.sum() + 2


def test_long_and_short_axes_are_the_calipers_of_the_mask(cases):
    for case in cases:
        for view in case.views:
            points = np.argwhere(view.mask ^ ndimage.binary_erosion(view.mask)) * view.spacing
            longest = np.sqrt(np.square(points[:, None] - points[None]).sum(-1)).max()
            assert view.long_axis_mm == pytest.approx(longest, abs=2.5 * view.spacing[0])
            along, across = (np.subtract(*axis) for axis in (view.long_axis, view.short_axis))
            assert abs(along @ across) < 0.02 * np.linalg.norm(along) * np.linalg.norm(across)
            assert view.short_axis_mm <= view.long_axis_mm


def test_both_views_have_the_same_height_along_the_beam(cases):
    for case in cases:
        heights, uppers = [], []
        for view in case.views:
            column = np.flatnonzero(view.mask[:, round(view.centre[1])])
            assert len(column) == column[-1] - column[0] + 1
            heights.append(len(column) * view.spacing[0])
            uppers.append((view.centre[0] - column[0]) * view.spacing[0])
        tolerance = 2.5 * max(view.spacing[0] for view in case.views)
        assert heights[0] == pytest.approx(heights[1], abs=tolerance)
        assert uppers[0] == pytest.approx(uppers[1], abs=tolerance)


def test_both_views_have_the_lesion_at_the_same_depth(cases):
    for case in cases:
        depths = []
        for view in case.views:
            # The transducer's surface, found in the picture: the first rows of the middle columns that are not black.
            top = np.flatnonzero(view.pixels[:, 300:346].mean(axis=(1, 2)) > 2)[0]
            depths.append((view.centre[0] - top) * view.spacing[0])
        assert depths[0] == pytest.approx(depths[1], abs=4 * case.views[0].spacing[0])


def test_masks_are_one_piece_inside_the_tissue(cases):
    for case in cases:
        for view in case.views:
            assert ndimage.label(view.mask)[1] == 1
            assert 0.005 < view.mask.mean() < 0.3
            assert not view.mask[[0, -1]].any()
            assert not view.mask[:, [0, -1]].any()


def test_pictures_have_the_papers_sizes(cases):
    for case in cases:
        assert [view.view for view in case.views] == ["front", "side"]
        for view in case.views:
            assert view.pixels.shape == (*VIEW_SIZES[view.view], 3)
            assert view.pixels.dtype == np.uint8
    assert VIEW_SIZES == {"front": (380, 646), "side": (432, 646)}


def test_speckle_is_finer_along_the_beam_than_across(cases):
    for case in cases:
        for view in case.views:
            grey = view.pixels[100:300, 150:500].mean(-1)
            speckle = grey - ndimage.gaussian_filter(grey, 8)
            along = np.corrcoef(speckle[:-3].ravel(), speckle[3:].ravel())[0, 1]
            across = np.corrcoef(speckle[:, :-3].ravel(), speckle[:, 3:].ravel())[0, 1]
            assert np.corrcoef(speckle[:-1].ravel(), speckle[1:].ravel())[0, 1] > 0.4  # no white noise
            assert across > along + 0.2


def test_the_lowest_quarter_is_darker_than_the_upper_half(cases):
    for case in cases:
        for view in case.views:
            tissue = view.pixels[14:-14].mean(axis=(1, 2))  # margins are up to 14 rows
            assert tissue[-len(tissue) // 4 :].mean() < 0.95 * tissue[: len(tissue) // 2].mean()


def test_calipers_are_light_blue_crosses_at_the_ends_of_both_axes(cases):
    views = [view for case in cases for view in case.views]
    assert {view.calipers for view in views} == {True, False}
    for view in views:
        blue = (view.pixels == CALIPER_COLOUR).all(axis=-1)
        coloured = (view.pixels != view.pixels[..., :1]).any(axis=-1)
        np.testing.assert_array_equal(blue, coloured)  # all else is grey
        assert blue.any() == view.calipers
        if not view.calipers:
            continue
        for axis in (view.long_axis, view.short_axis):
            for row, column in np.rint(axis).astype(int):
                around = blue[max(row - 10, 0) : row + 11, max(column - 10, 0) : column + 11]
                assert around.sum() >= 21  # two lines of eleven pixels that share one
        # Dots between the crosses, not a line.
        assert (
            4 * 21
            < blue.sum()
            < 4 * 21 + 0.3 * sum(np.hypot(*np.subtract(*axis)) for axis in (view.long_axis, view.short_axis))
        )


@pytest.mark.slow
def test_neither_a_threshold_nor_the_caliper_box_solves_them():
    """Even the best threshold of each image, dark or bright side, raw or smoothed, then the largest component."""
    best, boxes = [], []
    for case in range(12):
        for view in simulate_case(21, case).views:
            grey, scores = view.pixels.mean(axis=-1), []
            for picture in (grey, ndimage.gaussian_filter(grey, 3)):
                for level in np.percentile(picture, np.arange(2, 99, 4)):
                    for side in (picture <= level, picture > level):
                        labels, _ = ndimage.label(side)
                        sizes = np.bincount(labels.ravel())
                        sizes[0] = 0
                        scores.append(dice(labels == sizes.argmax(), view.mask))
            best.append(max(scores))
            ends = np.rint([*view.long_axis, *view.short_axis]).astype(int)
            box = np.zeros_like(view.mask)
            (top, left), (bottom, right) = ends.min(axis=0), ends.max(axis=0)
            box[top : bottom + 1, left : right + 1] = True
            boxes.append(dice(box, view.mask))
    assert np.mean(best) < 0.5
    assert max(boxes) < 0.95
    assert np.mean(boxes) < 0.9


@pytest.mark.slow
def test_some_lesions_shadow_and_some_enhance_what_lies_below():
    differences = []
    for case in range(16):
        for view in simulate_case(31, case).views:
            rows, columns = np.nonzero(view.mask)
            below = slice(rows.max() + 4, rows.max() + 40)
            width = columns.max() - columns.min()
            middle = slice(columns.min() + width // 4, columns.max() - width // 4)
            grey = view.pixels.mean(axis=-1)
            flanks = np.concatenate(
                [
                    grey[below, max(columns.min() - width // 2, 0) : max(columns.min() - 4, 0)].ravel(),
                    grey[below, columns.max() + 4 : columns.max() + width // 2].ravel(),
                ]
            )
            if grey[below, middle].size and flanks.size:
                differences.append(grey[below, middle].mean() - flanks[flanks > 0].mean())
    assert np.percentile(differences, 10) < -15
    assert np.percentile(differences, 90) > 10
