"""Random numbers that a resumed training, and any number of loader workers, repeat."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from monai.transforms import Randomizable
from torch.utils.data import RandomSampler

from monai_lesion.errors import InputError
from monai_lesion.machine.threads import one_blas_thread


def item_seed(seed: int, epoch: int, index: int) -> int:
    """The seed of one picture in one epoch.

    Example:
        >>> item_seed(0, 1, 0) == item_seed(0, 1, 0), item_seed(0, 1, 0) == item_seed(0, 2, 0)
        (True, False)
    """
    return zlib.crc32(struct.pack("<3q", seed, epoch, index))


class SeededDataset(CacheDataset):
    """MONAI's ``CacheDataset``, whose random transforms are seeded by (seed, epoch, picture).

    MONAI seeds each worker of a loader, so that the pictures of an epoch depend on the number of workers, and workers
    that live on draw numbers that no resumed training repeats. The epoch lies in shared memory, where such workers
    see it.

    Args:
        data: the items.
        transform: a flat ``Compose``.
        seed: random seed of the training.
        **options: MONAI's own: ``cache_rate``, ``num_workers`` (threads that fill the cache), ``progress`` ...
    """

    def __init__(self, data: Any, transform: Any, *, seed: int = 0, **options: Any) -> None:
        self.seed = seed
        self.epoch: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        super().__init__(data, transform, **options)

    def _fill_cache(self, indices: Any = None) -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # else each thread that reads has a team of its own, and all of them wait actively
        try:
            with one_blas_thread:
                return super()._fill_cache(indices)
        finally:
            torch.set_num_threads(threads)

    def _transform(self, index: int) -> Any:
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=item_seed(self.seed, int(self.epoch), index % len(self)))
        return super()._transform(index)


class SeedEveryEpoch:
    """Reseed torch, the shuffle and the dataset from (seed, epoch), so that a resumed run repeats an unbroken one.

    No checkpoint holds the random states of MONAI's transforms. Processes that share a batch draw each their own
    numbers for dropout.

    Args:
        seed: random seed of the training.
        dataset: the training dataset. One that is no :class:`SeededDataset` has its ``transform`` reseeded, which
            repeats with the same number of workers only.

    Raises:
        InputError: when the training begins with workers that live on and a dataset that cannot tell them the epoch.
    """

    def __init__(self, seed: int, dataset: Any) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.STARTED, self._check)
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin)

    def _check(self, engine: Engine) -> None:
        lives_on = getattr(engine.state.dataloader, "persistent_workers", False)
        if lives_on and not isinstance(self.dataset, SeededDataset):
            rule = "must be false for a data set that does not seed each picture: no resumed training would repeat it"
            fix = "Take monai_lesion.training.SeededDataset for train#dataset"
            got = type(self.dataset).__name__
            raise InputError("--train#dataloader#persistent_workers", rule, got=got, fix=fix)

    def _seed(self, engine: Engine) -> int:
        return int((self.seed * 100_003 + engine.state.epoch + idist.get_rank() * 1_000_000_007) % 2**31)

    def __call__(self, engine: Engine) -> None:
        """Reseed for the epoch that starts."""
        seed = self._seed(engine)
        torch.manual_seed(seed)
        sampler = getattr(engine.state.dataloader, "sampler", None)
        if isinstance(sampler, RandomSampler):
            sampler.generator = torch.Generator().manual_seed(seed)
        if isinstance(self.dataset, SeededDataset):
            self.dataset.epoch.fill_(engine.state.epoch)
        elif isinstance(transform := getattr(self.dataset, "transform", None), Randomizable):
            transform.set_random_state(seed=seed)

    def _begin(self, engine: Engine) -> None:
        """Reseed before the first step: how many numbers a loader draws when it starts depends on its workers."""
        if (engine.state.iteration - 1) % engine.state.epoch_length == 0:
            torch.manual_seed(self._seed(engine))
