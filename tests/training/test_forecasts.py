"""A clock that a training turns itself: what a step takes is known."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from monai_lesion.training.forecasts import Forecast


def forecast(caplog, step, *, epochs, steps=10, first=100.0, **options):
    """What a training says whose first step takes ``first`` seconds and every other ``step``."""
    now = [0.0]

    def train(engine, batch):
        now[0] += first if engine.state.iteration == 1 else step

    evaluator, trainer = Engine(lambda engine, batch: None), Engine(train)
    evaluator.data_loader = DataLoader(range(60), batch_size=4)
    Forecast(evaluator, clock=lambda: now[0], **options).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: engine.terminate())
    with caplog.at_level(logging.INFO, logger="monai_lesion.training.forecasts"):
        trainer.run(DataLoader(torch.zeros(4 * steps), batch_size=4), max_epochs=epochs)
    return [record.message for record in caplog.records if "forecasts" in record.name]


def test_a_short_training_is_told_once_without_advice(caplog):
    # 10 epochs of 10 steps of 3 s, and 10 validations of 60 / 4 = 15 batches at a third of the cost: 450 s
    assert forecast(caplog, 3.0, epochs=10) == ["a step takes 3 s: the 10 epochs of 10 steps will take about 8 min"]


def test_a_long_training_names_faster_ways_and_when_it_may_stop(caplog):
    told, faster = forecast(caplog, 57.0, epochs=200, min_epochs=50)
    assert "a step takes 57 s: the 200 epochs of 10 steps will take about 47 h 30 min" in told
    assert "or from 11 h 52 min on where it stops early" in told
    assert "--spatial_size '[128,128]'" in faster
    assert "overlays/pocket.json" in faster


def test_rare_validations_cost_less(caplog):
    (told,) = forecast(caplog, 3.0, epochs=10, val_interval=10)
    assert "about 5 min" in told  # 300 s + 15 s


def test_growing_pictures_are_reckoned_with(caplog):
    (told,) = forecast(
        caplog, 4.0, epochs=2, val_interval=10**9, spatial_size=(200, 200), sizes=[[0, [100, 100]], [1, [200, 200]]]
    )
    assert "about 3 min" in told  # 40 s, then four times as much: 200 s


@pytest.mark.parametrize("steps", [2, 3])
def test_a_short_epoch_is_enough(caplog, steps):
    assert len(forecast(caplog, 3.0, epochs=4, steps=steps)) == 1
