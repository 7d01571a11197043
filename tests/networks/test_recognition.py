"""A network is known by the shapes of its weights."""

from __future__ import annotations

import pytest
import torch

from monai_lesion.networks import LightUNet, UNet
from monai_lesion.networks.complexity import FAMILY
from monai_lesion.networks.recognition import describe, identify, without_pretraining


def test_definitions_of_other_networks_are_left_alone():
    definition = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8, "extra": [{"a": 1}]}
    assert without_pretraining(definition) == definition


@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (4, 2)], ids=str)
@pytest.mark.parametrize("name", FAMILY)
def test_identifies_every_variant_from_its_shapes(name, channels):
    variant = FAMILY[name]
    with torch.device("meta"):
        network = variant.build(in_channels=channels[0], out_channels=channels[1])
    kind, arguments = identify({key: tuple(tensor.shape) for key, tensor in network.state_dict().items()})
    assert kind is variant.network
    expected = {"spatial_dims": 2, "in_channels": channels[0], "out_channels": channels[1], **variant.options}
    assert arguments == expected


@pytest.mark.parametrize(("kind", "name"), [(UNet, "UNet()"), (LightUNet, "LightUNet()")])
def test_describes_networks_without_options(kind, name):
    with torch.device("meta"):
        assert describe(kind().state_dict()) == name
