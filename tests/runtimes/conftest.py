"""A small network whose masks are neither empty nor full, and nothing kept in the user's own cache."""

from __future__ import annotations

import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.transforms import postprocessing, preprocessing

SIZE = (32, 64)  # powers of two, as the bundle's 256: then every place in the resize is exact


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def segmenting(network):
    """Statistics as after a training, and logits that are spread and centred."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all pictures
    pictures = torch.rand(6, 3, *SIZE)
    with torch.inference_mode():
        network.train()
        network(pictures)
        logits = network.eval()(pictures)
        scale = 3 / logits.std()
        network.head.bias.copy_((network.head.bias - logits.median()) * scale)
        network.head.weight.mul_(scale)
    return network


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(0)
    return segmenting(LighterUNet(group_size=8, width=0.125).eval())


def make_segmenter(network, **options):
    before = preprocessing(spatial_size=SIZE)
    return LesionSegmenter(network, before, postprocessing(before, drop_channel=True), device="cpu", **options)


@pytest.fixture
def segmenter(network):
    return make_segmenter(network)
