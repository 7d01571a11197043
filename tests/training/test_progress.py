from __future__ import annotations

import csv

import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_lesion.training import MetricsLog, Progress


def run(path, losses, *, first=1, append=False, every=1):
    """Train with these losses, one an epoch of two iterations with three images each."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.125)
    evaluator = Engine(lambda engine, batch: None)
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(losses[engine.state.epoch - 1] + batch)}] * 3)
    trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", first - 1))

    def validate(engine):
        if engine.state.epoch % every == 0:
            evaluator.state.epoch, evaluator.state.metrics["val_loss"] = engine.state.epoch, 0.25

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    MetricsLog(path, evaluator, optimizer, append=append).attach(trainer)
    Progress().attach(trainer)
    trainer.run([0.0, 0.5], max_epochs=len(losses))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_log_has_one_row_an_epoch_with_the_mean_loss(tmp_path):
    run(tmp_path / "metrics.csv", [1.0, 2.0])
    table = rows(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in table] == ["1", "2"]
    assert [float(row["train_loss"]) for row in table] == [1.25, 2.25]
    assert {(row["val_loss"], row["learning_rate"]) for row in table} == {("0.250000", "0.125")}


def test_resumed_log_replaces_the_rows_from_its_epoch_on(tmp_path):
    run(tmp_path / "metrics.csv", [1.0, 2.0, 3.0])
    run(tmp_path / "metrics.csv", [0.0, 0.0, 7.0, 8.0], first=3, append=True)
    assert [float(row["train_loss"]) for row in rows(tmp_path / "metrics.csv")] == [1.25, 2.25, 7.25, 8.25]


def test_epochs_that_are_not_validated_have_a_row_without_the_metrics(tmp_path):
    run(tmp_path / "metrics.csv", [1.0, 2.0, 3.0], every=2)
    table = rows(tmp_path / "metrics.csv")
    assert [row["val_loss"] for row in table] == ["", "0.250000", ""]
    assert [float(row["train_loss"]) for row in table] == [1.25, 2.25, 3.25]


def test_a_new_run_drops_the_old_log(tmp_path):
    run(tmp_path / "metrics.csv", [1.0, 2.0, 3.0])
    run(tmp_path / "metrics.csv", [4.0])
    assert [float(row["train_loss"]) for row in rows(tmp_path / "metrics.csv")] == [4.25]


def test_bar_counts_the_whole_training_and_shows_epoch_and_loss(tmp_path, capsys):
    run(tmp_path / "metrics.csv", [1.0, 2.0])
    shown = capsys.readouterr().err
    assert "training: 100%" in shown
    assert "4/4" in shown
    assert "epoch 2/2, loss 2.500" in shown


def test_bar_serves_an_evaluator_without_a_loss(capsys):
    evaluator = Engine(lambda engine, batch: [{"pred": batch}])
    Progress("evaluating").attach(evaluator)
    evaluator.run([1, 2, 3])
    assert "evaluating: 100%" in capsys.readouterr().err
