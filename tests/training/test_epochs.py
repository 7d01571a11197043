"""Handlers fed by engines whose losses are a list: no network, milliseconds."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from monai_lesion.errors import InputError
from monai_lesion.training import EarlyStop, StopOnBadLoss, val_loss


class Scores:
    """An evaluator whose validation loss is read from a list, one value an epoch, in every epoch or every few."""

    def __init__(self, losses, every=1):
        self.losses, self.every = losses, every
        self.engine = Engine(lambda engine, batch: None)

    def attach(self, trainer):
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.read)

    def read(self, trainer):
        if trainer.state.epoch % self.every == 0:
            self.engine.state.epoch = trainer.state.epoch
            self.engine.state.metrics["val_loss"] = self.losses[trainer.state.epoch - 1]


def train(losses, *, max_epochs=None, every=1, **options):
    """Epochs that are run with these validation losses, and the trainer."""
    scores, trainer = Scores(losses, every), Engine(lambda engine, batch: None)
    scores.attach(trainer)
    stop = EarlyStop(scores.engine, **options)
    stop.attach(trainer)
    trainer.run([0], max_epochs=max_epochs or len(losses))
    return trainer.state.epoch, trainer


def test_stops_at_the_fifteenth_epoch_without_a_fall():
    epochs, _ = train([1.0, 0.5] + [0.5] * 40, min_epochs=0)
    assert epochs == 2 + 15


def test_patience_counts_validated_epochs_alone():
    epochs, trainer = train([1.0] * 30, every=3, patience=2, min_epochs=0)
    assert epochs == 3 * (1 + 2)
    assert trainer.state.early_stop == {"best": 1.0, "bad_epochs": 2}


def test_never_stops_before_the_fiftieth_epoch():
    epochs, _ = train([0.5] * 80)
    assert epochs == 50


def test_a_fall_starts_the_patience_anew():
    epochs, _ = train([1.0] * 3 + [0.9] + [1.0] * 10, patience=3, min_epochs=0)
    assert epochs == 4 + 3


def test_a_validation_loss_that_is_no_number_ends_the_run():
    with pytest.raises(InputError, match=r"the validation loss: must be finite, got 1 of 1 not"):
        train([1.0, math.nan, 0.5])


def test_one_image_without_a_loss_is_not_hidden_in_the_mean():
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.metrics["val_loss"] = 0.0  # what MONAI makes of it
    evaluator.state.metric_details = {"val_loss": torch.tensor([[0.25], [math.nan]])}
    with pytest.raises(InputError, match="got 1 of 2 not"):
        val_loss(evaluator)


def test_a_stopped_training_does_not_go_on_when_it_is_resumed():
    _, stopped = train([1.0] * 9, patience=2, min_epochs=0)
    scores, trainer = Scores([0.1] * 20), Engine(lambda engine, batch: None)
    scores.attach(trainer)
    EarlyStop(scores.engine, patience=2, min_epochs=0).attach(trainer)
    trainer.state.early_stop = stopped.state.early_stop
    ran = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: ran.append(engine.state.epoch))
    trainer.run([0], max_epochs=20)
    assert ran == []


def test_patience_goes_on_after_a_resume():
    _, stopped = train([1.0, 1.0, 1.0], patience=5, min_epochs=0)
    assert stopped.state_dict()["early_stop"] == {"best": 1.0, "bad_epochs": 2}
    scores, trainer = Scores([9.0] * 20), Engine(lambda engine, batch: None)
    scores.attach(trainer)
    EarlyStop(scores.engine, patience=5, min_epochs=0).attach(trainer)
    trainer.state.early_stop = stopped.state_dict()["early_stop"]
    trainer.run([0], max_epochs=20)
    assert trainer.state.epoch == 3


def test_rejects_no_patience():
    with pytest.raises(InputError, match="patience: must be positive, got 0"):
        EarlyStop(Engine(lambda engine, batch: None), patience=0)


@pytest.mark.parametrize("loss", [math.nan, math.inf], ids=str)
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_images(loss):
    image = MetaTensor(torch.zeros(1), meta={"filename_or_obj": "cases/17_front.png"})
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(loss), "image": image}])
    StopOnBadLoss().attach(trainer)
    with pytest.raises(InputError, match=r"(?s)epoch 1, iteration 1: .*finite.*cases/17_front.png.*learning_rate"):
        trainer.run([0, 1], max_epochs=1)
