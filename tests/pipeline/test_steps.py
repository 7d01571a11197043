"""The values of the steps are checked."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pipeline.steps import Steps


def test_threshold_size_and_choices_are_checked():
    for name, value in {
        "threshold": [0, 1, -0.1, float("nan"), float("inf"), "0.5", True, None],
        "input_size": [(15, 64), (64,), (64, 5000), (64.0, 64), "64", 64, None],
        "keep": ["smallest", None],
        "order": ["first"],
        "channel_order": ["grb"],
    }.items():
        for wrong in value:
            with pytest.raises(InputError, match=f"{name}: must be"):
                Steps(**{name: wrong})
    assert Steps.of({**Steps((32, 48), 0.4).to_dict(), "more": 1}) == Steps((32, 48), 0.4)
    with pytest.raises(InputError, match="keep: must be given, got nothing"):
        Steps.of({"input_size": [32, 32], "threshold": 0.5})


@pytest.mark.parametrize("size", [(16, 16), (16, 4096), (4096, 16)], ids=str)
def test_sides_from_16_to_4096_pixels_are_taken(size):
    assert Steps(size).input_size == size


@pytest.mark.parametrize("size", [(15, 16), (16, 15), (4097, 16), (16, 4097), (16, 16, 16), (True, 16)], ids=str)
def test_other_sides_are_refused_with_the_bounds(size):
    with pytest.raises(InputError, match="input_size: must be two whole numbers from 16 to 4096 pixels, got"):
        Steps(size)


def test_the_usual_steps_are_the_papers():
    usual = {"input_size": [256, 256], "threshold": 0.5, "keep": "largest", "order": "resize_first"}
    assert Steps().to_dict() == {**usual, "channel_order": "rgb"}


def test_a_missing_step_is_named():
    whole = Steps().to_dict()
    for name in whole:
        with pytest.raises(InputError, match=f"{name}: must be given, got nothing"):
            Steps.of({key: value for key, value in whole.items() if key != name})
