"""What changes when a training goes on, by the numbers that the optimiser then uses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from monai_lesion.training.resumption import Start


def objects(optimizer=Adam, schedule=None, **options):
    made = optimizer(nn.Linear(1, 1).parameters(), **options)
    return {"optimizer": made} | ({} if schedule is None else {"lr_scheduler": schedule(made)})


def resumed(before, now, recipes=({}, {}), *, meanwhile=lambda objects: None):
    """Go on from the state of one training with the settings of another; the lines said."""
    first, second = Start(recipes[0], before), Start(recipes[1], now)
    meanwhile(before)
    second.check(first.state_dict())
    for name, item in now.items():
        item.load_state_dict(before[name].state_dict())
    return second.apply(first.state_dict(), now)


def test_the_same_settings_change_nothing_and_say_nothing():
    def halve(objects):
        objects["optimizer"].param_groups[0]["lr"] = 0.0005

    now = objects(lr=0.001)
    assert resumed(objects(lr=0.001), now, ({"seed": 0}, {"seed": 0}), meanwhile=halve) == []
    assert now["optimizer"].param_groups[0]["lr"] == 0.0005


def test_another_learning_rate_keeps_its_place_in_the_schedule():
    def halve_twice(objects):
        for loss in (1.0, 2.0, 3.0):
            objects["lr_scheduler"].step(loss)

    def plateau(optimizer):
        return ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.0)

    now = objects(schedule=plateau, lr=0.04)
    said = resumed(
        objects(schedule=plateau, lr=0.01),
        now,
        ({"learning_rate": 0.01}, {"learning_rate": 0.04}),
        meanwhile=halve_twice,
    )
    assert said == ["learning_rate 0.04 (was 0.01)"]
    assert now["optimizer"].param_groups[0]["lr"] == pytest.approx(0.04 / 4)


def test_a_cycle_goes_on_at_the_new_height():
    def cycle(rate):
        return lambda optimizer: OneCycleLR(optimizer, max_lr=rate, total_steps=10)

    def steps(objects, count=4):
        for _ in range(count):
            objects["optimizer"].step()
            objects["lr_scheduler"].step()

    now, whole = objects(schedule=cycle(0.2), lr=0.2), objects(schedule=cycle(0.2), lr=0.2)
    resumed(objects(schedule=cycle(0.1), lr=0.1), now, meanwhile=steps)
    steps(now, 3)
    steps(whole, 7)
    assert now["optimizer"].param_groups[0]["lr"] == pytest.approx(whole["optimizer"].param_groups[0]["lr"])


def test_weight_decay_and_the_optimisers_own_settings_change():
    now = objects(lr=0.1, weight_decay=0.3, betas=(0.8, 0.9))
    said = resumed(objects(lr=0.1, weight_decay=0.1), now)
    assert sorted(said) == ["betas [0.8, 0.9] (was [0.9, 0.999])", "weight_decay 0.3 (was 0.1)"]
    group = now["optimizer"].param_groups[0]
    assert (group["weight_decay"], list(group["betas"])) == (0.3, [0.8, 0.9])


def test_the_settings_of_a_schedule_change():
    now = objects(schedule=lambda optimizer: StepLR(optimizer, 3, gamma=0.5), lr=0.1)
    said = resumed(objects(schedule=lambda optimizer: StepLR(optimizer, 3, gamma=0.1), lr=0.1), now)
    assert said == ["lr_scheduler#gamma 0.5 (was 0.1)"]
    assert now["lr_scheduler"].gamma == 0.5


@pytest.mark.parametrize(
    ("name", "before", "now", "message"),
    [
        ("seed", 0, 1, "seed 0, here 1: another --seed"),
        ("batch_size", 8, 4, "batch_size 8, here 4"),
        ("ema", None, 0.99, "ema none, here 0.99"),
        ("spatial_size", (64, 64), [96, 64], r"spatial_size \[64, 64\], here \[96, 64\]"),
    ],
)
def test_what_decided_the_past_is_refused(name, before, now, message):
    with pytest.raises(ValueError, match=message):
        resumed(objects(), objects(), ({name: before}, {name: now}))


def test_another_optimiser_is_refused_by_name():
    with pytest.raises(ValueError, match="optimizer Adam, here SGD: another --optimizer"):
        resumed(objects(), objects(SGD, lr=0.1))


def test_a_setting_that_an_earlier_version_did_not_know_is_no_change():
    assert resumed(objects(), objects(), ({}, {"seed": 3})) == []


def test_a_start_is_plain_data(tmp_path):
    start = Start({"spatial_size": (3, 4)}, objects(schedule=lambda optimizer: StepLR(optimizer, 3)))
    torch.save(start.state_dict(), tmp_path / "start.pt")
    assert torch.load(tmp_path / "start.pt", weights_only=True) == start.state_dict()
