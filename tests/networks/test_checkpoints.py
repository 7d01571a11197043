"""Weights go into the network they belong to, or the error says why not."""

from __future__ import annotations

import re

import pytest
import torch

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.checkpoints import load_weights


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: {"model": state}, id="under model"),
        pytest.param(lambda state: {"model": state, "optimizer": {"step": 3}, "epoch": 4}, id="a whole training"),
        pytest.param(lambda state: state, id="plain"),
    ],
)
def test_loads_what_the_training_saves(trained, tmp_path, wrap):
    torch.save(wrap(trained.state_dict()), tmp_path / "model.pt")
    network = LighterUNet(group_size=8)
    assert load_weights(network, tmp_path / "model.pt") is network
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])


def test_a_missing_file_is_named_with_the_way_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pt: the weights must exist, got no file\. Train first"):
        load_weights(LighterUNet(group_size=8), tmp_path / "absent.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "encoder.0.set1.norm.running_var"])
def test_numbers_that_are_not_finite_are_refused_with_the_tensors_name(trained, tmp_path, name, value):
    state = {key: tensor.clone() for key, tensor in trained.state_dict().items()}
    state[name].view(-1)[0] = value
    torch.save({"model": state}, tmp_path / "model.pt")
    rule = rf"model\.pt: must hold finite numbers, got NaN or infinity in 1 of {len(state)} tensors, first {name}"
    with pytest.raises(CheckpointError, match=rule):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")


def test_a_failed_load_changes_nothing(trained, tmp_path):
    state = dict(trained.state_dict())
    del state["head.bias"]
    torch.save({"model": state}, tmp_path / "model.pt")
    network = LighterUNet(group_size=8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"1 tensors differ, first head\.bias"):
        load_weights(network, tmp_path / "model.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("other", "name"),
    [
        pytest.param({"group_size": 16}, "LighterUNet(group_size=16)", id="group size"),
        pytest.param({"group_size": 8, "in_channels": 1}, "LighterUNet(in_channels=1, group_size=8)", id="channels"),
        pytest.param({"group_size": 8, "spatial_dims": 3}, "LighterUNet(spatial_dims=3, group_size=8)", id="volumes"),
    ],
)
def test_the_error_for_another_variant_names_both(trained, tmp_path, other, name):
    torch.save({"model": trained.state_dict()}, tmp_path / "model.pt")
    rule = re.escape(f"must hold weights of {name}, got weights of LighterUNet(group_size=8) (")
    with pytest.raises(CheckpointError, match=rule) as caught:
        load_weights(LighterUNet(**other), tmp_path / "model.pt")
    assert "Set network_def" in str(caught.value)


def test_another_network_is_told(trained, tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2).state_dict()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="got weights of another network"):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")


def test_a_whole_module_is_not_run_and_points_to_the_loader_for_published_files(trained, tmp_path):
    torch.save(trained, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"need networks\.published\.load_published"):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")


def test_published_names_point_to_their_loader(tmp_path):
    torch.save({"inc.double_conv.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"the authors' names\. Load them with networks\.published"):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")
