"""The statistics of a row."""

from __future__ import annotations

import pytest

from monai_lesion.benchmark.rows import ratio_of
from monai_lesion.benchmark.settings import Setting
from tests.benchmark.rows import COSTS, row


def test_statistics_are_those_of_the_images() -> None:
    measured = row()
    assert measured.milliseconds == 35
    assert measured.slow_milliseconds == pytest.approx(57.5)  # 50 + 0.75 * 10: place 4.75 of 0 to 5
    assert measured.images_per_second == pytest.approx(1000 * 6 / 210)
    assert measured.gflops == pytest.approx(80e6 / 0.035 / 1e9)


def test_merged_networks_are_credited_with_what_they_compute() -> None:
    assert row(Setting("onnx", "fp32")).flops == COSTS.merged_flops
    assert row().flops == COSTS.flops


def test_ratio_is_taken_within_turns() -> None:
    """Each turn the same ratio of 2, however busy the machine was: medians over all turns would give 1.1."""
    plain, own = [[10], [1000], [20]], [[5], [500], [10]]
    assert ratio_of(plain, own) == 2
    assert ratio_of([[10, 11, 99]], [[1, 2, 5.5]]) == 5.5
