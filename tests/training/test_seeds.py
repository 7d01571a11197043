"""A picture of an epoch is the same whatever was run before, and however many workers load it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, Lambda, RandFlipd, RandScaleIntensityd

from monai_lesion.errors import InputError
from monai_lesion.training import SeededDataset, SeedEveryEpoch
from tests.machine.test_threads import blas_threads


class Flipped:
    """A data set of random flips."""

    def __init__(self):
        self.transform = RandFlipd("image", prob=0.5, spatial_axis=0)

    def draw(self):
        return [float(self.transform({"image": torch.tensor([[0.0, 1.0]])})["image"][0, 0]) for _ in range(24)]


def drawn(seed, first=1, last=3):
    """What the transforms and torch draw in each epoch."""
    dataset, seen = Flipped(), {}
    trainer = Engine(
        lambda engine, batch: seen.setdefault(engine.state.epoch, (dataset.draw(), torch.rand(3).tolist()))
    )
    SeedEveryEpoch(seed, dataset).attach(trainer)
    trainer.state.epoch = first - 1
    if first > 1:  # as Checkpoints.load does
        trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", first - 1))
    trainer.run([0], max_epochs=last)
    return seen


def test_an_epoch_draws_the_same_whether_or_not_the_ones_before_were_run():
    whole, resumed = drawn(7), drawn(7, first=3)
    assert resumed == {3: whole[3]}


def test_epochs_and_seeds_differ():
    whole, other = drawn(7), drawn(8)
    assert len({str(value) for value in [*whole.values(), *other.values()]}) == 6


def pictures(kind=SeededDataset, count=6, **options):
    data = [{"image": torch.full((1, 2), float(number + 1))} for number in range(count)]
    return kind(data, Compose([RandScaleIntensityd("image", factors=0.9, prob=1.0)]), progress=False, **options)


def loaded(dataset, *, first=1, last=3, **options):
    """The batches of each epoch, and what the network would draw there."""
    loader, seen = DataLoader(dataset, batch_size=2, shuffle=True, **options), {}
    trainer = Engine(
        lambda engine, batch: seen.setdefault(engine.state.epoch, []).append(
            (batch["image"][:, 0, 0].tolist(), torch.rand(1).item())
        )
    )
    SeedEveryEpoch(5, dataset).attach(trainer)
    if first > 1:

        def skip(engine):
            engine.state.epoch, engine.state.iteration = first - 1, (first - 1) * len(loader)

        trainer.add_event_handler(Events.STARTED, skip)
    trainer.run(loader, max_epochs=last)
    return seen


def loaded_apart(**options):
    """The same in a process of its own: one that has threads, as those of tests do, should not fork workers."""
    command = [sys.executable, "-m", "tests.training.test_seeds", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {int(epoch): [tuple(step) for step in steps] for epoch, steps in json.loads(done.stdout).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"num_workers": 1}, {"num_workers": 2, "persistent_workers": True}],
    ids=["one worker an epoch", "two that live on"],
)
def test_workers_load_what_no_worker_loads(options):
    assert loaded_apart(**options) == loaded(pictures())


@pytest.mark.slow
def test_a_resumed_training_repeats_workers_that_live_on():
    assert loaded_apart(first=3, num_workers=1, persistent_workers=True) == {3: loaded(pictures())[3]}


def test_pictures_and_epochs_draw_differently():
    whole = loaded(pictures(count=8))
    factors = [value / round(value) for epoch in whole.values() for batch, _ in epoch for value in batch]
    assert len(set(factors)) > 20


@pytest.mark.parametrize("options", [{"cache_rate": 0.5}, {"num_workers": 3}], ids=str)
def test_nothing_depends_on_how_much_is_cached_or_on_the_threads_that_load_it(options):
    assert loaded(pictures(**options)) == loaded(pictures())


def test_the_cache_is_filled_with_one_thread_of_torch_and_of_blas_for_each_that_reads():
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        read = Lambda(lambda item: seen.append((torch.get_num_threads(), blas_threads())) or item)
        SeededDataset([1, 2], Compose([read]), num_workers=2, progress=False)
        assert (seen, torch.get_num_threads()) == ([(1, {1}), (1, {1})], 3)
    finally:
        torch.set_num_threads(before)


def test_workers_that_live_on_need_a_data_set_that_knows_the_epoch():
    with pytest.raises(InputError, match=r"persistent_workers: must be false .*got CacheDataset. Take .*SeededDataset"):
        loaded(pictures(CacheDataset), num_workers=1, persistent_workers=True)


if __name__ == "__main__":
    print(json.dumps(loaded(pictures(), **json.loads(sys.argv[1]))))
