"""One name for the weights of a network, however they are kept."""

import hashlib

import pytest
import torch

from monai_lesion.models.presets import load_preset, preset_names
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import build_network
from monai_lesion.networks.identity import weights_id


def test_the_id_is_of_names_shapes_types_and_values_not_of_the_file(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}
    torch.save(state, tmp_path / "one.pt")
    torch.save(state, tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() != (tmp_path / "two.pt").read_bytes()  # why a file's hash will not do
    loaded = torch.load(tmp_path / "two.pt", weights_only=True)
    assert weights_id(loaded) == weights_id(dict(reversed(state.items())))
    for other in ({"a": state["a"].T.contiguous(), "b": state["b"]}, {"a": state["a"].double(), "b": state["b"]}):
        assert weights_id(other) != weights_id(state)
    assert weights_id({"a": state["a"], "c": state["b"]}) != weights_id(state)
    assert weights_id({"a": state["a"] + 1e-6, "b": state["b"]}) != weights_id(state)


def test_the_id_takes_any_layout():
    tensor = torch.rand(2, 3, 4, 4)
    last = tensor.to(memory_format=torch.channels_last)
    assert weights_id({"a": last}) == weights_id({"a": tensor})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_the_id_is_of_the_bytes_in_the_order_of_names(dtype):
    state = {"b": torch.tensor(1).to(dtype), "a": torch.tensor([[0, 1], [1, 0]]).to(dtype)}
    expected = hashlib.sha256()
    for name, shape in (("a", "(2, 2)"), ("b", "()")):
        expected.update(
            f"{name} {dtype} {shape}\n".encode() + bytes(state[name].reshape(-1).view(torch.uint8).tolist())
        )
    assert weights_id(state) == expected.hexdigest()


@pytest.mark.parametrize("name", preset_names())
def test_the_id_of_a_preset_is_that_of_its_weights(name):
    preset = load_preset(name)
    network = build_network(preset.description.network_def)
    load_weights(network, preset.weights)
    assert weights_id(network.state_dict()) == preset.description.weights_id
