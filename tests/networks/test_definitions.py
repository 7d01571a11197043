from __future__ import annotations

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.networks import FCN, LighterUNet
from monai_lesion.networks.definitions import build_network, definition_of
from monai_lesion.networks.identity import weights_id

TARGET = "monai_lesion.networks.LighterUNet"


@pytest.mark.parametrize("target", [TARGET, "monai_lesion.networks.unet.LighterUNet"])
def test_a_class_is_known_by_the_room_and_by_its_own_module(target):
    assert isinstance(build_network({"_target_": target, "group_size": 8, "width": 0.125}), LighterUNet)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, "_target_ must be of monai_lesion.networks: "),
        ({"_target_": "os.system", "command": "true"}, "_target_ must be of monai_lesion.networks"),
        ({"_target_": "monai_lesion.networks_of_others.UNet"}, "_target_ must be"),
        ({"_target_": "monai_lesion.networks.checkpoints.load_weights"}, "_target_ must be"),
        ({"_target_": TARGET, "group_size": "$__import__('os').getpid()"}, "group_size must be a literal value"),
        ({"_target_": TARGET, "group_size": "@elsewhere"}, "group_size must be a literal value"),
        ({"_target_": TARGET, "group_sise": 8}, "must have arguments of LighterUNet, got .*group_sise"),
        ({"_target_": TARGET, "network": {"_target_": "builtins.eval"}}, "_target_ must be"),
    ],
    ids=["none", "system", "other room", "no class", "expression", "reference", "argument", "nested"],
)
def test_anything_else_is_refused(definition, message):
    with pytest.raises(InputError, match=message):
        build_network(definition)


@pytest.mark.parametrize("network", [LighterUNet(group_size=8, width=0.125), FCN(stride=16)], ids=["U-net", "FCN"])
def test_the_definition_of_a_network_builds_it_again(network):
    again = build_network(definition_of(network))
    again.load_state_dict(network.state_dict())
    picture = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(again.eval()(picture), network.eval()(picture), rtol=0, atol=0)


def test_a_foreign_network_has_no_definition():
    assert definition_of(torch.nn.Conv2d(3, 1, 1)) is None


def test_weights_are_known_by_name_type_shape_and_bytes():
    one = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    changed = [
        {"a": torch.zeros(3, 2), "b": one["b"]},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": one["b"]},
        {"c": torch.zeros(2, 3), "b": one["b"]},
        {"a": torch.full((2, 3), -0.0), "b": one["b"]},
        {"a": one["a"]},
    ]
    assert len({weights_id(state) for state in (one, *changed)}) == 6
    assert weights_id(one) == weights_id(dict(reversed(one.items())))
    assert weights_id({"a": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(5)})
