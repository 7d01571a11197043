"""Steps in a model's graph give the pixels of the steps in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_lesion.pipeline.graphs import After, Before, BlueFirst, EndToEnd, ScoredEndToEnd, takes_rgb
from monai_lesion.pipeline.operations import clean
from monai_lesion.pipeline.steps import Steps

SIZES = [(61, 87), (32, 48), (17, 200), (1, 30), (200, 1)]
STEPS = Steps((32, 48), threshold=0.4)


def picture(size):
    return np.random.default_rng(size).integers(0, 256, (*size, 3), dtype=np.uint8)


class Halves(torch.nn.Module):
    """Logits of a picture: its red less its blue."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, :1] - x[:, 2:]) * 4


class Scored(Halves):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x[:, :1] - x[:, 2:]) * 4, x.mean(dim=(2, 3))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_before_and_after_are_those_of_numpy(size):
    pixels, known = Before(STEPS.input_size)(torch.from_numpy(picture(size)))
    np.testing.assert_array_equal(pixels.numpy(), STEPS.before(picture(size)))
    assert known.tolist() == list(size)
    logits = Halves()(pixels)
    mask, probability = After(STEPS.input_size, STEPS.threshold)(logits, known)
    expected_mask, expected = STEPS.after(logits.numpy(), size)
    np.testing.assert_allclose(probability.numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(clean(mask.numpy() > 0), expected_mask)  # which stays outside the graph
    assert 0 < mask.sum() < mask.numel()
    assert (mask.dtype, probability.dtype) == (torch.uint8, torch.float32)


def test_the_parts_are_joined_with_and_without_scores():
    image = torch.from_numpy(picture((40, 50)))
    mask, probability = EndToEnd(Halves(), STEPS.input_size, STEPS.threshold)(image)
    both = ScoredEndToEnd(Scored(), STEPS.input_size, STEPS.threshold)(image)
    assert mask.shape == (40, 50)
    torch.testing.assert_close(both[:2], (mask, probability), rtol=0, atol=0)
    torch.testing.assert_close(both[2][0], Before(STEPS.input_size)(image)[0].mean(dim=(0, 2, 3)))


def test_networks_that_take_blue_first_are_given_it():
    network, image = Halves(), torch.rand(1, 3, 4, 5)
    assert takes_rgb(network, "rgb") is network
    swapped = takes_rgb(network, "bgr")
    assert isinstance(swapped, BlueFirst)
    torch.testing.assert_close(swapped(image), -network(image), rtol=0, atol=0)
