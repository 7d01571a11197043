"""A network is built from its description alone, and a description imports nothing but networks of this package."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import FCN, LighterUNet
from monai_lesion.networks.complexity import NETWORKS
from monai_lesion.networks.definitions import build_for, build_network, definition_of

LIGHTER = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8}


class Around(nn.Module):
    """A network around another."""

    def __init__(self, network, factors=(1,), names=None):
        super().__init__()
        self.network, self.factors, self.names = network, factors, names


@pytest.mark.parametrize("name", NETWORKS)
def test_builds_what_the_paper_compares_as_monai_does(name):
    from monai.bundle import ConfigParser

    with torch.device("meta"):
        definition = NETWORKS[name].network_def
        expected = ConfigParser({"network": definition}).get_parsed_content("network")
        found = build_network(definition)
    assert type(found) is type(expected)
    assert repr(found) == repr(expected)


def test_takes_the_module_that_a_class_stands_in():
    found = build_network({**LIGHTER, "_target_": "monai_lesion.networks.unet.LighterUNet"})
    assert repr(found) == repr(LighterUNet(group_size=8))


def test_builds_a_network_within_a_network_and_keeps_plain_values():
    target = f"{__name__}.Around"
    found = build_network(
        {"_target_": target, "network": LIGHTER, "factors": [1, 2.5], "names": {"a": [None, True]}}, any_class=True
    )
    assert isinstance(found.network, LighterUNet)
    assert (found.factors, found.names) == ([1, 2.5], {"a": [None, True]})


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"_target_": "os.system", "command": "ls"}, "network_def: _target_ must be a class of monai_lesion.networks"),
        ({"_target_": "monai_lesion.networks_of_mine.Net"}, "_target_ must be a class of monai_lesion.networks"),
        ({"_target_": "UNet"}, "_target_ must be a class of monai_lesion.networks, got UNet. Such as"),
        ({"_target_": "monai_lesion.networks.checkpoints.load_weights"}, "_target_ must be a class of"),
        ({"_target_": "monai_lesion.networks.unet.nn.Conv2d"}, "must be a class that can be imported"),
        ({"_target_": "monai_lesion.networks.unet.InputError"}, "_target_ must be a class of"),
        ({"_target_": "monai_lesion.networks.NoSuchNet"}, "must be a class that can be imported, got .*NoSuchNet"),
        ({"group_size": 8}, 'network_def: must be an object with "_target_"'),
        ([], 'network_def: must be an object with "_target_"'),
        ({**LIGHTER, "group_sise": 8}, "must have arguments that .*LighterUNet takes, got .*group_sise"),
        ({**LIGHTER, "group_size": 3}, "group_size: must"),
        ({**LIGHTER, "dropout": "$__import__('os').system('ls')"}, "network_def#dropout: must be a plain value"),
        ({**LIGHTER, "dropout": "@dropout"}, "network_def#dropout: must be a plain value"),
        ({**LIGHTER, "act": ["%other.json"]}, "network_def#act#0: must be a plain value"),
        ({**LIGHTER, "dropout": {1}}, "network_def#dropout: must be a plain value"),
        ({**LIGHTER, "_mode_": "callable"}, "may have _target_ and the arguments of the class, got '_mode_'"),
        ({**LIGHTER, "act": {"_target_": "os.system"}}, "network_def#act: _target_ must be a class of"),
    ],
)
def test_refuses(definition, message):
    with pytest.raises(InputError, match=message):
        build_network(definition)


def test_a_class_from_elsewhere_must_give_a_network():
    with pytest.raises(InputError, match=r"must be a network, an nn.Module, got collections.OrderedDict, OrderedDict"):
        build_network({"_target_": "collections.OrderedDict"}, any_class=True)


@pytest.mark.parametrize("network", [LighterUNet(group_size=8, width=0.125), FCN(stride=16)], ids=["U-net", "FCN"])
def test_the_definition_of_a_network_builds_it_again(network):
    again = build_network(definition_of(network))
    again.load_state_dict(network.state_dict())
    picture = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(again.eval()(picture), network.eval()(picture), rtol=0, atol=0)


def test_a_foreign_network_has_no_definition():
    assert definition_of(torch.nn.Conv2d(3, 1, 1)) is None


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({"group_size": 8}, r"\d+ numbers for \d+"),
        ({"out_channels": 10**9}, r"\d+ numbers for \d+"),
        ({"out_channels": 10**30}, "must have arguments that .* takes"),
        ({"out_channels": -4}, "must be positive"),
    ],
    ids=["larger", "huge", "no number that memory has", "negative"],
)
def test_a_network_is_not_built_that_is_larger_than_its_weights(arguments: dict[str, int], got: str) -> None:
    weights = LighterUNet(group_size=1).state_dict()
    definition = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 1}
    assert build_for(definition, weights, "a file").state_dict().keys() == weights.keys()
    with pytest.raises(InputError, match=got):
        build_for({**definition, **arguments}, weights, "a file")


def test_networks_without_number_are_not_built() -> None:
    weights, one = LighterUNet(group_size=1).state_dict(), {"_target_": "monai_lesion.networks.LighterUNet"}
    many = {"_target_": "monai_lesion.networks.Ensemble", "networks": [one] * 5000}
    with pytest.raises(InputError, match="a file: network_def must be the network of the weights, got more networks"):
        build_for(many, weights, "a file")
