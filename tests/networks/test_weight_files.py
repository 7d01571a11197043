"""Files of weights are read without running anything in them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal

import pytest
import torch

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.checkpoints import load_weights, read_state
from monai_lesion.networks.weight_files import save_state


def test_an_empty_file_is_told(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(CheckpointError, match=r"model\.pt: must hold weights, got an empty file"):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")


@pytest.mark.parametrize("damage", ["truncated", "random"])
def test_a_damaged_file_is_told(trained, tmp_path, damage):
    path = tmp_path / "model.pt"
    torch.save({"model": trained.state_dict()}, path)
    path.write_bytes(path.read_bytes()[:5000] if damage == "truncated" else b"these are no weights" * 9)
    with pytest.raises(CheckpointError, match=r"model\.pt: must hold tensors only"):
        load_weights(LighterUNet(group_size=8), path)


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


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_nothing_of_a_hostile_file_runs(tmp_path):
    torch.save({"model": Hostile(f"touch {tmp_path / 'ran'}")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="must hold tensors only"):
        load_weights(LighterUNet(group_size=8), tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def save_on_a_full_disk(file, told):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        save_state({"model": torch.zeros(100_000)}, file)
    except OSError as error:
        told.send(error.filename)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_whole_is_an_error_with_its_name_and_not_the_end(tmp_path):
    spawning = multiprocessing.get_context("spawn")  # the limit holds for a process; PyTorch's threads bear no fork
    received, told = spawning.Pipe(duplex=False)
    process = spawning.Process(target=save_on_a_full_disk, args=(tmp_path / "a.pt", told))
    process.start()
    told.close()
    process.join()
    assert process.exitcode == 0
    assert received.recv() == str(tmp_path / "a.pt")
