from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.runtimes.executions import Execution
from monai_lesion.segmentation.views import VIEWS, mirrored, over_views


def probability(logits):
    return 1 / (1 + np.exp(-logits))


def test_one_view_leaves_the_outputs_bit_by_bit():
    picture, logits = np.ones((1, 3, 2, 2), np.float32), np.full((1, 1, 2, 2), 40.0, np.float32)
    found, scores = over_views(lambda seen: (logits, None), picture, 1)
    assert found is logits
    assert scores is None


@pytest.mark.parametrize("views", [2, 4])
def test_a_network_that_follows_its_picture_finds_the_same_in_every_view(views):
    picture = np.random.default_rng(0).normal(size=(1, 3, 5, 7)).astype(np.float32)
    found, _ = over_views(lambda seen: (seen[:, :1], None), picture, views)
    np.testing.assert_allclose(found, picture[:, :1], atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("views", [2, 4])
def test_probabilities_are_averaged_where_they_belong(views):
    picture = np.zeros((1, 3, 3, 5), np.float32)
    left_top = np.full((1, 1, 3, 5), -20.0, np.float32)
    left_top[0, 0, 0, 0] = 20.0  # a network that always sees a lesion in its left upper corner
    found, _ = over_views(lambda seen: (left_top, None), picture, views)
    expected = np.mean([np.flip(probability(left_top), axes) for axes in VIEWS[views]], axis=0)
    np.testing.assert_allclose(probability(found), expected, atol=1e-5)
    assert (probability(found) > 0.2).sum() == views


def test_scores_are_averaged():
    given = iter([np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 6.0]], np.float32)])
    _, scores = over_views(lambda seen: (seen, next(given)), np.zeros((1, 1, 2, 2), np.float32), 2)
    assert scores.tolist() == [[2.0, 4.0]]


def test_a_mirrored_picture_is_memory_of_its_own():
    assert mirrored(np.arange(6).reshape(1, 1, 2, 3), (-1,)).flags.c_contiguous


@pytest.mark.parametrize("views", [0, 3, 8])
def test_another_number_of_views_is_refused(views):
    with pytest.raises(InputError, match=f"views: must be 1, 2 or 4, got {views}"):
        Execution(views=views)
