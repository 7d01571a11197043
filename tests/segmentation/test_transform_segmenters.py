"""A bundle with transforms of its own segments through MONAI."""

from __future__ import annotations

import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import dice
from monai_lesion.segmentation.transform_segmenters import TransformSegmenter
from tests.segmentation.pictures import BUNDLE, red


@pytest.mark.slow
def test_own_transforms_segment_through_monai(weights):
    own = {"network_def#group_size": 1, "spatial_size": [32, 32], "preprocessing#calipers": 0.0}
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=own, runtime="torch")
    assert isinstance(segmenter, TransformSegmenter)
    plain = LesionSegmenter.from_bundle(
        BUNDLE, weights=weights, overrides={"network_def#group_size": 1, "spatial_size": [32, 32]}, runtime="torch"
    )
    assert dice(segmenter(red()[0]).mask, plain(red()[0]).mask) >= 0.999
    assert segmenter(red()[0]).to_dict()["input_size"] == [32, 32]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_name(weights, value):
    own = {"network_def#group_size": 1, "spatial_size": [32, 32], "preprocessing#calipers": 0.0}
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=own, runtime="torch")
    with torch.no_grad():
        for parameter in segmenter.network.parameters():
            parameter.fill_(value)
    segmenter = TransformSegmenter(segmenter.network, segmenter.preprocess, segmenter.postprocess)
    with pytest.raises(InputError, match=r"network .*weights \w{12}.*must compute finite numbers"):
        segmenter(red()[0])
