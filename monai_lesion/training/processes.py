"""Training in several processes: what ``multi_gpu_train.json`` needs beside PyTorch, ignite and MONAI.

::

    torchrun --nproc_per_node=2 -m monai.bundle run training --config_file "['train.json','multi_gpu_train.json']"

Each process has its own part of every batch; gradients are averaged, so that all hold the same network. NCCL connects
GPUs, gloo processors.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sized
from datetime import timedelta
from types import TracebackType
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from monai.data import DistributedSampler
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_lesion.errors import InputError, root_cause

OVERLAY = "multi_gpu_train.json"
FIX = f"Add {OVERLAY}: --config_file \"['.../train.json','.../{OVERLAY}']\""


def leads() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return bool(idist.get_rank() == 0)


def refuse_processes(what: str, *, unless_connected: bool = False) -> None:
    """Refuse to run in several processes, each of which would write the same files.

    Args:
        what: is refused.
        unless_connected: let it run where the processes share the work.

    Raises:
        InputError: when torchrun started several processes.
    """
    started = int(os.environ.get("WORLD_SIZE") or 1)
    if started > 1 and not (unless_connected and dist.is_initialized()):
        rule = "must run in one process" + (" or in connected ones" if unless_connected else "")
        raise InputError(what, rule, got=f"{started} of torchrun", fix=FIX if unless_connected else "Use python -m")


def local_device() -> torch.device:
    """The GPU of this process, or the CPU where there is none.

    Raises:
        InputError: when this machine has fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place, count = int(os.environ.get("LOCAL_RANK") or 0), torch.cuda.device_count()
    if place >= count:
        got = f"{count} for process {place + 1} of this machine"
        raise InputError("--nproc_per_node", "must not exceed the GPUs", got=got, fix="Lower it, or add --device cpu")
    return torch.device("cuda", place)


def connect(device: str | torch.device, *, timeout: float = 60.0) -> None:
    """Connect the processes that torchrun started; all but the first become silent below warnings.

    Args:
        device: where this process runs; NCCL for CUDA, gloo for the rest.
        timeout: seconds that a process waits for the others before it gives up.

    Raises:
        InputError: when torchrun did not start this process.
    """
    if dist.is_initialized():
        return
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        fix = "Start it as: torchrun --nproc_per_node=2 -m monai.bundle run training --config_file ..."
        raise InputError(OVERLAY, "must be run by torchrun", got=f"no {missing[0]} in the environment", fix=fix)
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(local_device())
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(seconds=timeout))
    if not leads():
        logging.disable(logging.INFO)
    _explain_lost_processes(timeout)


def _explain_lost_processes(timeout: float) -> None:
    """Say in words that another process is gone; gloo and NCCL tell of sockets and their own source files."""
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        show(kind, error, trace)
        cause = root_cause(error)
        if isinstance(cause, dist.DistError) or "gloo" in str(cause):
            gone = f"another process of this training has ended, or did not answer for {timeout:g} seconds"
            sys.stderr.write(f"\nThe reason: {gone}; its own error stands above, unless it was killed\n")

    sys.excepthook = hook


def disconnect() -> None:
    """Close the connection at the end of a training."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share(batch_size: int) -> int:
    """The part of each batch that one process has.

    Args:
        batch_size: images a step, of all processes together.

    Raises:
        InputError: when the processes cannot share it evenly.

    Example:
        >>> share(8)  # in one process
        8
    """
    processes = idist.get_world_size()
    if batch_size % processes or batch_size < 1:
        rule = f"must be a multiple of the {processes} processes that share it"
        raise InputError("--batch_size", rule, got=batch_size)
    return int(batch_size // processes)


def shard(dataset: Sized, *, training: bool, seed: int = 0) -> DistributedSampler:
    """Which images of a data set are this process's; none is another's too.

    Args:
        dataset: the whole data set, in every process.
        training: shuffle anew every epoch, and leave out the one to ``processes - 1`` images, others each time, that
            cannot be shared evenly; else every image once, in order, some processes having one more.
        seed: random seed for the shuffle.

    Raises:
        InputError: when the processes see different data, or there are fewer images than processes.
    """
    processes, name = idist.get_world_size(), "training" if training else "validation"
    counts = idist.all_gather(len(dataset)) if processes > 1 else [len(dataset)]
    if len(set(counts)) > 1:
        fix = "Give every machine the same manifest and files"
        raise InputError(f"the {name} split", "must be the same in every process", got=f"{counts} images", fix=fix)
    if len(dataset) < processes:
        rule = f"must hold at least one image for each of the {processes} processes"
        raise InputError(f"the {name} split", rule, got=len(dataset), fix="Start fewer processes")
    return DistributedSampler(dataset, even_divisible=training, shuffle=training, drop_last=training, seed=seed)


def parallel(network: nn.Module, *, sync_batchnorm: bool = True) -> Any:
    """The network whose gradients are averaged over the processes; ``network`` itself stays what is kept and evaluated.

    Running statistics are not copied from the first process at each step, but averaged at the end of each epoch
    (:class:`monai_lesion.training.AverageStatistics`): a copy would wait for processes whose validation has ended.

    Args:
        network: the same in every process; changed in place.
        sync_batchnorm: normalise over the whole batch, on CUDA; PyTorch has no such layer for processors, where each
            process normalises over its own part.
    """
    if sync_batchnorm and next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(network, broadcast_buffers=False)
