"""The pictures of a benchmark."""

from __future__ import annotations

import numpy as np

from monai_lesion.benchmark.pictures import simulated_pictures


def test_simulated_pictures_are_as_the_networks_see_them() -> None:
    pictures = simulated_pictures(1, 32)
    assert [image.shape for image in pictures.images] == [(3, 32, 32)] * 2
    assert all(0 < label.mean() < 0.5 for label in pictures.labels)
    assert np.stack(pictures.images).max() <= 1
