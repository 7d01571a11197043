"""What every runtime takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.errors import InputError
from tests.runtimes.opened import opened
from tests.small_networks import SIZE


def test_pytorch_takes_other_sizes_and_the_others_say_theirs(network):
    images = np.zeros((1, 3, 33, 47), np.float32)
    assert opened(network, "torch")(images).shape == (1, 1, 33, 47)
    with pytest.raises(
        InputError, match=r"images: must be a float32 array \(N, 3, 32, 64\), got float32 \(1, 3, 33, 47\)"
    ):
        opened(network, "onnx")(images)


@pytest.mark.parametrize(
    "images",
    [np.zeros((3, *SIZE), np.float32), np.zeros((1, 3, *SIZE)), np.zeros((1, 1, *SIZE), np.float32), [[0.0]]],
    ids=["rank 3", "float64", "one channel", "a list"],
)
def test_rejects_arrays_of_another_kind(network, images):
    with pytest.raises(InputError, match=r"images: must be a float32 array \(N, 3, H, W\), got"):
        opened(network, "torch")(images)
