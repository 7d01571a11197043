"""Markers cover the pixels that they should, and nothing else is drawn on."""

from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.calipers import draw_calipers
from monai_lesion.calipers.markers import LIGHT_BLUE, cross, maltese, plus, stamp
from monai_lesion.errors import InputError
from tests.calipers.pictures import speckle


def test_a_plus_and_an_x_cover_the_pixels_of_two_strokes():
    for shape in (plus(4), cross(4)):
        assert shape.sum() == 2 * 9 - 1
        np.testing.assert_array_equal(shape, np.rot90(shape))
    assert plus(4)[4].all()
    assert cross(4)[np.eye(9, dtype=bool)].all()


@pytest.mark.parametrize("shape", [maltese(hollow=True), maltese(hollow=False)], ids=["hollow", "solid"])
def test_markers_look_alike_from_all_four_sides(shape):
    np.testing.assert_array_equal(shape, np.rot90(shape))
    np.testing.assert_array_equal(shape, shape.T)


def test_drawing_changes_only_the_strokes_of_a_copy():
    tissue = speckle()
    drawn = draw_calipers(tissue, [(40, 30)], arm=5)
    assert (tissue == speckle()).all()
    rows, columns = np.nonzero(drawn != tissue)
    assert len(rows) == 21
    assert set(rows[columns != 30]) == {40}
    assert (drawn[drawn != tissue] == 255).all()


def test_a_dotted_line_has_dots_every_gap_and_none_within_the_markers():
    drawn = draw_calipers(np.zeros((40, 90), np.uint8), [(20, 10), (20, 80)], arm=4, dotted=True, gap=7)
    dots = np.setdiff1d(np.flatnonzero(drawn[20]), [*range(6, 15), *range(76, 85)])
    assert dots[0] == 10 + 4 + 3
    assert set(np.diff(dots)) == {7}
    assert dots[-1] <= 80 - 4 - 3


def test_calipers_on_colour_pictures_are_light_blue_unless_told_otherwise():
    colour = np.repeat(speckle()[..., None], 3, axis=2)
    assert (draw_calipers(colour, [(40, 30)])[40, 30] == LIGHT_BLUE).all()
    assert (draw_calipers(colour, [(40, 30)], colour=(255, 255, 0))[40, 30] == (255, 255, 0)).all()


def test_a_marker_at_the_border_is_cut_off():
    picture = np.zeros((20, 20), np.uint8)
    stamp(picture, plus(3), 0, 19, np.asarray(255))
    assert sorted(zip(*np.nonzero(picture), strict=True)) == [
        (0, 16),
        (0, 17),
        (0, 18),
        (0, 19),
        (1, 19),
        (2, 19),
        (3, 19),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "star"}, "kind: must be one of plus, x, got 'star'"),
        ({"arm": 1}, "arm: must be at least 2 pixels, got 1"),
        ({"thickness": 9}, "thickness: must be between 1 pixel and the arm, got 9"),
        ({"gap": 1}, "gap: must be at least 2 pixels, got 1"),
        ({"ends": [(40, 500)]}, r"ends: must lie in the picture of 112 x 160, got \(40, 500\)"),
        ({"image": np.zeros((40, 40), np.float32)}, "image: must be unsigned 8-bit .*got float32"),
        ({"image": np.zeros((8, 40), np.uint8)}, "image: .* at least 16 x 16 pixels, got uint8"),
        ({"image": np.zeros((40, 40, 4), np.uint8)}, r"image: .*got uint8 \(40, 40, 4\)"),
    ],
    ids=["kind", "arm", "thickness", "gap", "outside", "float", "tiny", "rgba"],
)
def test_refuses_what_cannot_be_drawn(change, message):
    arguments = {"image": speckle(), "ends": [(40, 30)], **change}
    with pytest.raises(InputError, match=message):
        draw_calipers(arguments.pop("image"), arguments.pop("ends"), **arguments)
