"""What counts as the same masks."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError
from monai_lesion.segmentation.parity import Parity, simulated


def test_tolerances_of_float_and_int8_models():
    alike = Parity("p", 1, 0.97, 0.97, 0.3, 0.9, 0.8985, 0.002)
    assert alike.faults("int8") == []
    assert len(alike.faults("fp32")) == 2
    assert Parity("p", 1, 0.9, 0.9, 0.3, 0.9, 0.89, 0.002).faults("int8") == [
        "the mean Dice falls by 0.0100, more than 0.002",
        "its masks have a mean Dice of 0.9000 with the library's",
    ]
    assert Parity("p", 1, 0.999, 0.9, 0.0001, 0.9, 0.9, 0.002).to_dict("fp32")["passed"]


def test_simulated_cases_are_both_views_and_none_is_refused():
    assert len(list(simulated(1).read())) == 2
    with pytest.raises(InputError, match=r"cases: must be at least 1, got 0"):
        simulated(0)
