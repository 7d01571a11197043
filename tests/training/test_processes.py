"""What several processes refuse and share, told without starting any; tests/bundles/test_distributed.py starts them."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.training import AverageStatistics, Checkpoints, SaveMasks, processes, val_loss


@pytest.fixture
def two(monkeypatch):
    """As far as ignite's questions go, this is the first of two processes."""
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda value: [value, value])
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda group=None: 2)
    monkeypatch.setattr(dist, "get_rank", lambda group=None: 0)


def order(dataset, *, training, rank, monkeypatch):
    monkeypatch.setattr(dist, "get_rank", lambda group=None: rank)
    return list(processes.shard(dataset, training=training, seed=3))


@pytest.mark.parametrize("count", [2, 7, 8])
def test_validation_shards_hold_each_image_once(two, monkeypatch, count):
    shards = [order(range(count), training=False, rank=rank, monkeypatch=monkeypatch) for rank in (0, 1)]
    assert sorted(shards[0] + shards[1]) == list(range(count))


@pytest.mark.parametrize("count", [2, 7, 8])
def test_training_shards_are_of_one_size_without_duplicates(two, monkeypatch, count):
    shards = [order(range(count), training=True, rank=rank, monkeypatch=monkeypatch) for rank in (0, 1)]
    assert [len(shard) for shard in shards] == [count // 2] * 2
    assert len(set(shards[0] + shards[1])) == count // 2 * 2


def test_fewer_images_than_processes_are_refused(two):
    with pytest.raises(InputError, match="the validation split: must hold at least one image for each of the 2 proc"):
        processes.shard([0], training=False)


def test_processes_that_see_different_data_are_refused(two, monkeypatch):
    monkeypatch.setattr("ignite.distributed.all_gather", lambda value: [value, value + 1])
    with pytest.raises(InputError, match=r"the training split: must be the same in every process, got \[4, 5\] images"):
        processes.shard(range(4), training=True)


def test_batch_is_shared_evenly_or_refused(two):
    assert processes.share(8) == 4
    with pytest.raises(InputError, match="--batch_size: must be a multiple of the 2 processes that share it, got 7"):
        processes.share(7)


def test_overlay_without_torchrun_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(
        InputError, match=r"multi_gpu_train.json: must be run by torchrun, got no RANK.*torchrun --npro"
    ):
        processes.connect("cpu")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="--nproc_per_node: must not exceed the GPUs, got 1 for process 2"):
        processes.local_device()


def test_torchrun_without_the_overlay_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    handler = Checkpoints(tmp_path, Engine(lambda engine, batch: None), nn.Linear(1, 1), {})
    with pytest.raises(InputError, match=r"a training: .*connected ones, got 2 of torchrun.*multi_gpu_train\.json"):
        handler.attach(Engine(lambda engine, batch: None))


def test_inference_in_several_processes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="inference: must run in one process, got 2 of torchrun"):
        SaveMasks(tmp_path, {}).attach(Engine(lambda engine, batch: None))


def test_validation_loss_is_the_first_processs(two, monkeypatch):
    monkeypatch.setattr("ignite.distributed.broadcast", lambda value, src: 0.25)
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.metrics["val_loss"] = 0.2500001
    assert val_loss(evaluator) == 0.25


def test_running_statistics_are_averaged_and_weights_left_alone(two, monkeypatch):
    monkeypatch.setattr("ignite.distributed.all_reduce", lambda vector: vector * 3)  # the other process has double
    network = nn.BatchNorm1d(2)
    network.running_mean[:] = torch.tensor([1.0, 2.0])
    AverageStatistics(network)()
    assert network.running_mean.tolist() == [1.5, 3.0]
    assert network.running_var.tolist() == [1.5, 1.5]
    assert network.weight.tolist() == [1.0, 1.0]


def test_first_process_leads():
    assert processes.leads()
