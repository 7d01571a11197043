"""What is taken for a mask, for the label of an image and for a spacing."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from monai_lesion.errors import ImageError, InputError
from monai_lesion.measures.masks import check_fits, checked_mask, checked_steps, fits

CROSS = np.array([[0, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32, np.float64], ids=str)
def test_mask_of_any_type_becomes_booleans(dtype):
    found = checked_mask(CROSS.astype(dtype))
    assert found.dtype == bool
    np.testing.assert_array_equal(found, CROSS == 1)


def test_whole_numbers_other_than_0_are_inside():
    assert checked_mask([[0, 255], [-1, 2]]).tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(3, bool), "pred: must have the shape (H, W), got (3,)"),
        (np.ones((1, 3, 3), bool), "pred: must have the shape (H, W), got (1, 3, 3)"),
        ([[0.0, 0.5]], "pred: must be a mask, got float64 other than 0 and 1. Threshold it first"),
        ([[0.0, 255.0]], "pred: must be a mask, got float64 other than 0 and 1"),
        (np.array([[1, 0]], complex), "pred: must be a mask, got complex128"),
        ([["0", "1"]], "pred: must be a mask, got <U1"),
    ],
    ids=["1-D", "3-D", "probability", "real 255", "complex", "text"],
)
def test_refuses_what_is_no_mask(mask, message):
    with pytest.raises(InputError, match=re.escape(message)):
        checked_mask(mask, name="pred")


def test_a_mask_without_another_name_is_called_mask():
    with pytest.raises(InputError, match=r"^mask: must have the shape"):
        checked_mask([1])


def test_label_fits_an_image_of_the_same_rows_and_columns():
    assert fits([20, 30], (20, 30))
    assert not fits((20, 30), (30, 20))
    assert not fits((20, 30), (20, 31))
    check_fits("label.png", (20, 30), [20, 30])
    message = "label.png: a label must have its image's 20 x 30 rows and columns, got 21 x 31"
    with pytest.raises(ImageError, match=re.escape(message)):
        check_fits("label.png", (21, 31), (20, 30))


def test_steps_are_the_spacing_or_ones():
    assert checked_steps(None).tolist() == [1.0, 1.0]
    assert checked_steps((0.5, 0.1)).tolist() == [0.5, 0.1]
    assert checked_steps((1, 2)).dtype == np.float64


@pytest.mark.parametrize(
    "spacing", [(0.0, 1.0), (1.0, 0.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf), (1.0,), (1, 1, 1), 1.0, "ab"]
)
def test_refuses_what_is_no_spacing(spacing):
    message = f"spacing: must be two positive steps in mm: row, column, got {spacing}"
    with pytest.raises(InputError, match=re.escape(message)):
        checked_steps(spacing)
