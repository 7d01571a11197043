"""Bits, rescale and window, where the header is right and where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_lesion.images.dicom_headers import warn_once
from monai_lesion.images.reading import read_image
from tests.images import colours, greys, write_dicom

WORDS = {"BitsAllocated": 16}


@pytest.fixture(autouse=True)
def said_again() -> None:
    """Each test hears what is said once a file."""
    warn_once.cache_clear()


def grey_of(path: Path, words: np.ndarray, photometric: str = "MONOCHROME2", **values: Any) -> np.ndarray:
    file = write_dicom(path / "a", np.ascontiguousarray(words).tobytes(), photometric, **values)
    return read_image(file).pixels[..., 0].astype(float)


def test_values_above_their_place_are_moved_down(tmp_path: Path) -> None:
    words = greys().astype("<u2") << 8
    np.testing.assert_array_equal(grey_of(tmp_path, words, BitsStored=8, HighBit=15, **WORDS), greys())
    twelve = greys().astype("<u2") * 16 << 4
    found = grey_of(tmp_path, twelve, BitsStored=12, HighBit=15, **WORDS)
    np.testing.assert_allclose(found, greys().astype(int) * 16 * 255 / 4095, atol=0.51)


def test_colours_above_their_place_are_moved_down(tmp_path: Path) -> None:
    words = colours().astype("<u2") << 8
    file = write_dicom(tmp_path / "a", words.tobytes(), "RGB", BitsStored=8, HighBit=15, **WORDS)
    np.testing.assert_array_equal(read_image(file).pixels, colours())


def test_signed_values_keep_their_sign_wherever_they_lie(tmp_path: Path) -> None:
    values = greys().astype(np.int32) * 8 - 1000  # 12 bits
    placed = {"low": (values & 0xFFF, 11), "high": ((values & 0xFFF) << 4, 15), "extended": (values & 0xFFFF, 11)}
    for words, high in placed.values():
        kind = {"BitsStored": 12, "HighBit": high, "PixelRepresentation": 1, **WORDS}
        found = grey_of(tmp_path, words.astype("<u2"), **kind)
        np.testing.assert_allclose(found, (values + 2048) * 255 / 4095, atol=0.51)


def test_high_bit_that_lies_does_not_make_the_picture_black(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = grey_of(tmp_path, greys().astype("<u2"), BitsStored=8, HighBit=15, **WORDS)
    np.testing.assert_array_equal(found, greys())
    assert "HighBit is wrong" in caplog.text


def test_bits_stored_that_lies_does_not_make_the_picture_white(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = grey_of(tmp_path, greys().astype("<u2") * 16, BitsStored=8, HighBit=7, **WORDS)
    np.testing.assert_allclose(found, greys(), atol=1)
    assert "BitsStored is wrong: values have 12 bits" in caplog.text


def test_bits_above_the_highest_that_are_the_same_everywhere_are_no_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for stored, words in ((8, greys().astype("<u2") | 0x3300), (12, greys().astype("<u2") * 16 | 0xA000)):
        found = grey_of(tmp_path, words, BitsStored=stored, HighBit=stored - 1, **WORDS)
        np.testing.assert_allclose(found, greys(), atol=1)
        assert "the bits above HighBit are the same in all pixels" in caplog.text
        caplog.clear()
        warn_once.cache_clear()


def test_words_of_32_bits_are_shifted_too(tmp_path: Path) -> None:
    words = greys().astype("<u4") << 8
    found = grey_of(tmp_path, words, BitsAllocated=32, BitsStored=8, HighBit=15)
    np.testing.assert_array_equal(found, greys())


FULL = {"BitsStored": 16, "HighBit": 15, **WORDS}
PLAIN = {"RescaleSlope": 1, "RescaleIntercept": 0}


@pytest.mark.parametrize("rescale", [{}, PLAIN, {"RescaleSlope": 2, "RescaleIntercept": -100}], ids=["no", "1", "2"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_in_words_that_claim_all_are_shown_over_the_range_they_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int, signed: int, rescale: dict[str, float]
) -> None:
    highest = 2**bits - 1
    words = np.rint(np.linspace(0, highest, greys().size)).reshape(greys().shape).astype("<u2")
    found = grey_of(tmp_path, words, PixelRepresentation=signed, **FULL, **rescale)
    np.testing.assert_allclose(found, words * 255.0 / highest, atol=0.51)
    assert f"of 16 bits the values use {bits}" in caplog.text


def test_few_bits_on_both_sides_of_zero_are_shown_over_the_range_they_use(tmp_path: Path) -> None:
    values = np.rint(np.linspace(-2048, 2047, greys().size)).reshape(greys().shape).astype("<i2")
    found = grey_of(tmp_path, values, PixelRepresentation=1, **FULL)
    np.testing.assert_allclose(found, (values.astype(float) + 2048) * 255 / 4095, atol=0.51)


def test_window_counts_whatever_bits_the_values_use(tmp_path: Path) -> None:
    words = np.rint(np.linspace(0, 4095, greys().size)).reshape(greys().shape).astype("<u2")
    found = grey_of(tmp_path, words, WindowCenter=1024, WindowWidth=2048, **FULL, **PLAIN)
    assert found[words >= 2048].min() == 255
    np.testing.assert_allclose(found[words < 2047], words[words < 2047] * 255.0 / 2047, atol=0.7)


def test_a_drawing_in_unused_bits_is_no_part_of_the_picture(tmp_path: Path) -> None:
    words = greys().astype("<u2") * 16
    drawn = words | ((np.indices(words.shape).sum(axis=0) % 2).astype("<u2") << 12)
    kind = {"BitsStored": 12, "HighBit": 11, **WORDS}
    from pydicom import dcmread

    grey_of(tmp_path, drawn, **kind)
    dataset = dcmread(tmp_path / "a")
    dataset.add_new((0x6000, 0x0102), "US", 12)
    dataset.save_as(tmp_path / "b")
    np.testing.assert_allclose(
        read_image(tmp_path / "b").pixels[..., 0], greys().astype(int) * 16 * 255 / 4095, atol=0.51
    )


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (10, 4), (12, 16), (14, 64), (16, 257)])
def test_words_whose_depth_the_header_does_not_name_use_the_range_that_is_there(
    bits: int, scale: int, tmp_path: Path
) -> None:
    words = np.rint(greys().astype(int) * scale * (255 / greys().max())).astype("<u2")
    found = grey_of(tmp_path, words, BitsStored=16, **WORDS)
    np.testing.assert_allclose(found, words * (255 / (2**bits - 1)), atol=0.51)
    inverse = grey_of(tmp_path, words, "MONOCHROME1", BitsStored=16, **WORDS)
    np.testing.assert_array_equal(inverse, 255 - found)


BROKEN: dict[str, dict[str, Any]] = {
    "width 0": {"WindowCenter": 128, "WindowWidth": 0},
    "width below 0": {"WindowCenter": 128, "WindowWidth": -5},
    "half a width": {"WindowCenter": 128, "WindowWidth": 0.5},
    "exact, width 0": {"WindowCenter": 128, "WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid, width 0": {"WindowCenter": 128, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
    "no centre": {"WindowWidth": 100},
    "unknown function": {"WindowCenter": 128, "WindowWidth": 100, "VOILUTFunction": "DOE"},
    "all white": {"WindowCenter": -4000, "WindowWidth": 2},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_window_that_shows_nothing_is_left_out_and_said(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.testing.assert_array_equal(grey_of(tmp_path, greys(), **BROKEN[kind]), greys())
    assert "a: the window shows nothing and is left out" in caplog.text
    assert "DOE" not in caplog.text


def test_the_first_window_of_some_width_counts(tmp_path: Path) -> None:
    alone = grey_of(tmp_path, greys(), WindowCenter=100, WindowWidth=101)
    assert np.ptp(alone) == 255
    several = grey_of(tmp_path, greys(), WindowCenter=[128, 100, 50], WindowWidth=[0, 101, 10])
    np.testing.assert_array_equal(several, alone)


def test_rescale_by_nothing_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = grey_of(tmp_path, greys(), RescaleSlope=0, RescaleIntercept=5)
    np.testing.assert_array_equal(found, greys())
    assert "the rescale shows nothing and is left out" in caplog.text
