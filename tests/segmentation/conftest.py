from __future__ import annotations

import pytest
import torch

from monai_lesion import LesionSegmenter
from tests.segmentation.pictures import STEPS, Brightness
from tests.small_networks import small_network


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture
def segmenter():
    return LesionSegmenter(Brightness(), STEPS, device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from monai_lesion.networks import LighterUNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save({"model": LighterUNet(group_size=1).state_dict()}, path)
    return path
