"""Weights go into the network they belong to, or the error says why not."""

import os
import re

import pytest
import torch

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import LighterUNet, LightUNet, UNet
from monai_lesion.networks.checkpoints import load_weights, read_state
from monai_lesion.networks.complexity import FAMILY
from monai_lesion.networks.recognition import describe, identify


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return LighterUNet(group_size=8)


def fresh():
    return LighterUNet(group_size=8)


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
    network = fresh()
    assert load_weights(network, tmp_path / "model.pt") is network
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])


def test_a_missing_file_is_named_with_the_way_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pt: the weights must exist, got no file\. Train first"):
        load_weights(fresh(), tmp_path / "absent.pt")


def test_an_empty_file_is_told(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(CheckpointError, match=r"model\.pt: must hold weights, got an empty file"):
        load_weights(fresh(), tmp_path / "model.pt")


@pytest.mark.parametrize("damage", ["truncated", "random"])
def test_a_damaged_file_is_told(trained, tmp_path, damage):
    path = tmp_path / "model.pt"
    torch.save({"model": trained.state_dict()}, path)
    path.write_bytes(path.read_bytes()[:5000] if damage == "truncated" else b"these are no weights" * 9)
    with pytest.raises(CheckpointError, match=r"model\.pt: must hold tensors only"):
        load_weights(fresh(), path)


def test_a_failed_load_changes_nothing(trained, tmp_path):
    state = dict(trained.state_dict())
    del state["head.bias"]
    torch.save({"model": state}, tmp_path / "model.pt")
    network = fresh()
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


@pytest.mark.parametrize("content", [[1, 2], {"model": 3}, {"epoch": 3}, torch.zeros(2)], ids=repr)
def test_other_content_is_told(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r'must be \{"model": state_dict\}'):
        read_state(tmp_path / "model.pt")


def test_the_state_of_a_training_points_to_its_best_network(trained, tmp_path):
    torch.save({"network": trained.state_dict(), "optimizer": {}, "epoch": 3}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"got the state of a training\. Name the model\.pt beside it"):
        read_state(tmp_path / "last.ckpt")


def test_no_unsafe_way_is_recommended(trained, tmp_path):
    (tmp_path / "a.json").write_text('{"model": 1}')
    torch.save(trained, tmp_path / "module.pt")
    with pytest.raises(
        CheckpointError, match=r"a\.json: must hold tensors only, got a file that PyTorch did not write$"
    ):
        read_state(tmp_path / "a.json")
    with pytest.raises(
        CheckpointError, match=r"got a monai_lesion\.networks\.unet\.LighterUNet\. Files with"
    ) as caught:
        read_state(tmp_path / "module.pt")
    assert "weights_only" not in str(caught.value)


def test_another_network_is_told(trained, tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2).state_dict()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="got weights of another network"):
        load_weights(fresh(), tmp_path / "model.pt")


def test_a_whole_module_is_not_run_and_points_to_the_loader_for_published_files(trained, tmp_path):
    torch.save(trained, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"need networks\.published\.load_published"):
        load_weights(fresh(), tmp_path / "model.pt")


def test_published_names_point_to_their_loader(tmp_path):
    torch.save({"inc.double_conv.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"the authors' names\. Load them with networks\.published"):
        load_weights(fresh(), tmp_path / "model.pt")


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_nothing_of_a_hostile_file_runs(tmp_path):
    torch.save({"model": Hostile(f"touch {tmp_path / 'ran'}")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="must hold tensors only"):
        load_weights(fresh(), tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


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
