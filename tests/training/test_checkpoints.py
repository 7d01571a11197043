from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.training import Checkpoints


def run(folder, losses, *, resume=False, network=None, stop_after=None, steps=2, every=1):
    """Train a single weight that counts its epochs, with these validation losses."""
    network = network or nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.zero_()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    evaluator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)

    def epoch(engine):
        with torch.no_grad():
            network.weight += 1
        if engine.state.epoch % every == 0:
            evaluator.state.epoch = engine.state.epoch
            evaluator.state.metrics["val_loss"] = losses[engine.state.epoch - 1]
        if engine.state.epoch == stop_after:
            optimizer.param_groups[0]["lr"] = 0.25

    trainer.add_event_handler(Events.EPOCH_COMPLETED, epoch)
    Checkpoints(folder, evaluator, network, {"optimizer": optimizer}, resume=resume).attach(trainer)
    trainer.run([0] * steps, max_epochs=stop_after or len(losses))
    return network, optimizer, trainer


def epoch_of(path):
    return torch.load(path, weights_only=True)["model"]["weight"].item()


def test_best_is_the_epoch_of_the_lowest_validation_loss(tmp_path):
    run(tmp_path, [0.5, 0.2, 0.3, 0.2])
    assert epoch_of(tmp_path / "model.pt") == 2


def test_best_is_one_of_the_validated_epochs_and_the_last_is_kept_all_the_same(tmp_path):
    run(tmp_path, [0.1, 0.5, 0.1, 0.3, 0.1], every=2)
    assert epoch_of(tmp_path / "model.pt") == 4
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 5


def test_a_run_without_a_validation_tells_why_there_is_no_best_network(tmp_path, caplog):
    run(tmp_path, [0.1, 0.5], every=3)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert "no epoch was validated, so there is no" in caplog.text


def test_resumed_run_takes_up_everything_and_keeps_the_better_network(tmp_path):
    losses = [0.5, 0.2, 0.4, 0.3]
    run(tmp_path, losses, stop_after=3)
    network, optimizer, trainer = run(tmp_path, losses, resume=True)
    assert network.weight.item() == 4
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert (trainer.state.epoch, trainer.state.iteration) == (4, 8)
    assert epoch_of(tmp_path / "model.pt") == 2


def test_without_resume_a_run_starts_anew(tmp_path):
    run(tmp_path, [0.1])
    network, _, _ = run(tmp_path, [0.9, 0.8])
    assert network.weight.item() == 2
    assert epoch_of(tmp_path / "model.pt") == 2


def test_resume_without_a_checkpoint_starts_anew(tmp_path):
    network, _, _ = run(tmp_path, [0.9, 0.8], resume=True)
    assert network.weight.item() == 2


def test_nothing_but_the_two_files_stays(tmp_path):
    run(tmp_path, [0.9, 0.8])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "model.pt"]


def test_refuses_the_checkpoint_of_another_network(tmp_path):
    run(tmp_path, [0.9])
    with pytest.raises(CheckpointError, match=r"last.ckpt: must belong to this training.*--resume"):
        run(tmp_path, [0.9, 0.8], resume=True, network=nn.Linear(2, 1, bias=False))


def test_refuses_to_resume_with_epochs_of_another_length(tmp_path):
    run(tmp_path, [0.9], steps=2)
    with pytest.raises(CheckpointError, match=r"epochs of 2 steps, here 3: other data or batch size"):
        run(tmp_path, [0.9, 0.8], steps=3, resume=True)


def test_refuses_a_damaged_checkpoint(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(CheckpointError, match=r"last.ckpt: must belong to this training"):
        run(tmp_path, [0.9], resume=True)
