"""Unlikely masks, each made from a known one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.mask_values import Choice, Review
from monai_lesion.errors import InputError
from tests.images import lesion

DISC = np.hypot(*(np.indices((60, 80)) - 30)) < 20


def through_jpeg(mask: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream))


def warnings(caplog: pytest.LogCaptureFixture, *masks: np.ndarray) -> str:
    review = Review()
    for number, mask in enumerate(masks):
        review.add(f"{number}.png", mask)
    review.warn()
    return caplog.text


def test_likely_masks_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    masks = [lesion().astype(np.uint8), DISC * np.uint8(255), np.zeros((9, 9), np.uint8), DISC.astype(np.int32) * 70000]
    assert not warnings(caplog, *masks)


def test_grey_fringes_are_warned_of_with_what_they_add(caplog: pytest.LogCaptureFixture) -> None:
    fringed = through_jpeg(DISC * np.uint8(255))
    more = (fringed > 0).sum() / (fringed >= 128).sum() - 1
    text = warnings(caplog, fringed, DISC * np.uint8(255))
    assert "1 of 2 masks have grey fringes" in text
    assert f"{100 * more:.0f} % more than from half on in the mean, {100 * more:.0f} % in the worst, 0.png" in text
    assert (Choice(threshold=128).of(fringed) != DISC).sum() <= 2


def test_a_fringe_of_few_greys_is_a_fringe_and_labels_are_none(caplog: pytest.LogCaptureFixture) -> None:
    smoothed = DISC * np.uint8(255)
    smoothed[9, 25:35], smoothed[51, 25:35] = 30, 60
    assert "1 of 1 masks have grey fringes" in warnings(caplog, smoothed)
    caplog.clear()
    thirds = np.zeros((60, 80), np.uint8)
    thirds[10:20, :40], thirds[20:30, :40], thirds[30:40, :40] = 85, 170, 255
    assert "hold the values 85, 170, 255" in warnings(caplog, thirds)


def test_several_values_are_warned_of_and_one_may_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    mask = DISC.astype(np.uint8) * 2
    mask[25:35, 25:35] = 1
    assert "1 of 1 masks hold the values 1, 2: all of them are taken for lesion. --lesion-value 2" in warnings(
        caplog, mask
    )
    assert Choice((1,)).of(mask).sum() == 100
    assert Choice((1, 2)).of(mask).sum() == Choice().of(mask).sum() == DISC.sum()


def test_inverted_masks_and_masks_of_everything_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    text = warnings(caplog, ~DISC * np.uint8(255), np.ones((9, 9), np.uint8))
    assert (
        f"1 of 2 masks look inverted: the lesion reaches all corners, {100 * (~DISC).mean():.0f} % of the picture"
        in text
    )
    assert "1 of 2 masks cover the whole picture, 100 % of the picture: 1.png" in text
    np.testing.assert_array_equal(Choice((0,)).of(~DISC * np.uint8(255)), DISC)


def test_value_and_threshold_exclude_each_other() -> None:
    assert not Choice()
    with pytest.raises(InputError, match="--lesion-value and --threshold: exclude each other"):
        Choice((1,), 128)
