"""Network and input size come from the weights, and only our networks do."""

from __future__ import annotations

import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.models.trained_networks import input_size_for, network_for
from monai_lesion.networks import FCN, LighterUNet, LightUNet
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import definition_of

FCN_32 = {"_target_": "monai_lesion.networks.FCN", "stride": 32}


def save(path, network, **told):
    torch.save({"model": network.state_dict(), **told}, path)
    return path


@pytest.fixture
def weights(tmp_path):
    network = LighterUNet(group_size=1, width=0.125)
    return save(tmp_path / "model.pt", network, network_def=definition_of(network), input_size=[32, 48])


def test_the_default_gives_way_to_the_network_of_the_weights(weights):
    assert definition_of(network_for(weights, LighterUNet()))["width"] == 0.125


def test_a_network_that_was_named_stays_and_is_refused_by_the_weights(weights):
    named = LightUNet(width=0.125)
    assert network_for(weights, named) is named
    with pytest.raises(CheckpointError, match=r"LightUNet\(width=0.125\), got weights of LighterUNet\(width=0.125"):
        load_weights(named, weights)


def test_weights_of_an_earlier_version_leave_network_and_size_to_the_config(tmp_path):
    old, network = save(tmp_path / "old.pt", LightUNet(width=0.125)), LighterUNet()
    assert network_for(old, network) is network
    assert input_size_for(old, [64, 32]) == (64, 32)


def test_the_size_of_the_weights_is_taken_unless_another_is_named(weights):
    assert input_size_for(weights, [256, 256]) == (32, 48)
    assert input_size_for(weights, [32, 48], named=True) == (32, 48)
    for size, named in (([64, 64], None), ([256, 256], True)):
        with pytest.raises(CheckpointError, match="pictures of 32 x 48 pixels, got spatial_size"):
            input_size_for(weights, size, named=named)


@pytest.mark.slow
def test_strides_of_the_same_shapes_are_told_apart(tmp_path):
    file = save(tmp_path / "model.pt", FCN(stride=32), network_def=FCN_32)
    load_weights(FCN(stride=32), file)
    with pytest.raises(CheckpointError, match=r"must hold weights of stride 8, got 32\. Set network_def#stride to 32"):
        load_weights(FCN(stride=8), file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "definition",
    [{"_target_": "os.system", "command": "touch ran"}, {**FCN_32, "stride": "$__import__('os').system('touch ran')"}],
    ids=["a function", "an expression"],
)
def test_weights_do_not_decide_what_is_run(tmp_path, monkeypatch, definition):
    monkeypatch.chdir(tmp_path)
    file = save(tmp_path / "model.pt", FCN(stride=32), network_def=definition, input_size=[32, 48])
    with pytest.raises(InputError, match="network_def"):
        LesionSegmenter.from_bundle(bundle_folder(), weights=file)
    with pytest.raises(InputError, match="network_def"):
        network_for(file, LighterUNet())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "told", [{"network_def": "LightUNet"}, {"input_size": [32]}, {"input_size": ["32", 48]}], ids=str
)
def test_what_weights_tell_is_checked(tmp_path, told):
    file = save(tmp_path / "model.pt", LightUNet(width=0.125), **told)
    with pytest.raises(CheckpointError, match=f"{next(iter(told))} must be"):
        load_weights(LightUNet(width=0.125), file)
