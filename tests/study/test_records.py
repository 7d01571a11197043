"""What a trial leaves to be checked by."""

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.study.records import PeakMemory, code_version, hash_weights, read_record, versions


def test_the_hash_of_weights_is_of_names_shapes_types_and_values_not_of_the_file(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}
    torch.save(state, tmp_path / "one.pt")
    torch.save(state, tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() != (tmp_path / "two.pt").read_bytes()  # why a file's hash will not do
    loaded = torch.load(tmp_path / "two.pt", weights_only=True)
    assert hash_weights(loaded) == hash_weights(dict(reversed(state.items())))
    for other in ({"a": state["a"].T.contiguous(), "b": state["b"]}, {"a": state["a"].double(), "b": state["b"]}):
        assert hash_weights(other) != hash_weights(state)
    assert hash_weights({"a": state["a"], "c": state["b"]}) != hash_weights(state)
    assert hash_weights({"a": state["a"] + 1e-6, "b": state["b"]}) != hash_weights(state)


def test_the_hash_of_weights_takes_any_layout():
    tensor = torch.rand(2, 3, 4, 4)
    last = tensor.to(memory_format=torch.channels_last)
    assert hash_weights({"a": last}) == hash_weights({"a": tensor})


def test_tells_code_and_versions():
    assert set(code_version()) == {"git_commit", "git_changed"}
    assert {"python", "torch", "monai"} <= set(versions())


def test_the_peak_is_of_this_trial():
    memory = PeakMemory()
    before = memory.measure()["process_mib"]
    block = torch.ones(64 * 2**20 // 4)
    assert memory.measure()["process_mib"] > before + 32
    del block


def test_a_record_that_is_none_is_empty_and_a_damaged_one_is_told(tmp_path):
    assert read_record(tmp_path) == {}
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run\.json: must be the record of a trial, got list in place"):
        read_record(tmp_path)
