"""What happens to a training batch between the loader and the network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import default_prepare_batch
from torch.nn.functional import interpolate

from monai_lesion.errors import InputError
from monai_lesion.training.inferers import plain, with_meta

logger = logging.getLogger(__name__)

Batch = tuple[torch.Tensor, torch.Tensor]
MIN_SIZE = 16


class TrainingBatch:
    """Move a batch to the device; shrink it in the first epochs, vary it, add the teachers' masks.

    ::

        -- device -- (size of the epoch) -- (augmentation) --------------------------------- image, label --
        -- device -- (augmentation) -- teachers -- (size of the epoch) -- image, label and teachers' mask --

    For the trainer's ``prepare_batch``; :class:`FollowEpochs` tells it the epoch. Without any option it is MONAI's
    ``default_prepare_batch``, but for the label's metadata, which nothing reads.

    Args:
        sizes: ``[[epoch, [rows, columns]], ...]``: from that epoch on (0 is the first) pictures have that size. After
            the last one it stays so; validation always has the full size. A size above the loader's is refused.
        augmentation: what varies images and labels of a batch, one after the other:
            :class:`~monai_lesion.training.negatives.RemoveLesions` and
            :class:`~monai_lesion.training.augmentations.BatchAugmentation`.
        teachers: networks whose mean probability becomes the label's second channel.

    Raises:
        InputError: when the sizes are not such a list, in order.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[Any] | None = None,
        augmentation: Sequence[Callable[[torch.Tensor, torch.Tensor], Batch]] = (),
        teachers: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.sizes = _checked(sizes or [])
        self.augmentation = augmentation
        self.teachers = teachers
        self.size: tuple[int, int] | None = self.sizes[0][1] if self.sizes else None

    def follow(self, epoch: int) -> None:
        """Take the size of an epoch; 0 is the first."""
        self.size = next((size for start, size in reversed(self.sizes) if start <= epoch), None)

    def __call__(self, batchdata: Any, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Batch:
        """The images and labels of a batch, as MONAI's trainer asks for them."""
        image, label = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        pixels, mask = plain(image), plain(label)
        if self.size is None and not self.augmentation and self.teachers is None:
            return image, mask
        if self.teachers is None:
            pixels, mask = self._vary(*self._shrink(pixels, mask))
        else:  # who see what the student sees, larger
            pixels, mask = self._vary(pixels, mask)
            soft = self.teachers(pixels)
            pixels, mask = self._shrink(pixels, mask)
            mask = torch.cat([mask.to(soft), soft if self.size is None else _shrunk(soft, self.size)], dim=1)
        return with_meta(pixels, image), mask

    def _vary(self, pixels: torch.Tensor, mask: torch.Tensor) -> Batch:
        for vary in self.augmentation:
            pixels, mask = vary(pixels, mask)
        return pixels, mask

    def _shrink(self, pixels: torch.Tensor, mask: torch.Tensor) -> Batch:
        if self.size is None or tuple(pixels.shape[2:]) == self.size:
            return pixels, mask
        if self.size[0] > pixels.shape[2] or self.size[1] > pixels.shape[3]:
            got = f"{self.size} of {tuple(pixels.shape[2:])}"
            raise InputError("--sizes", "must not exceed the size of the loaded pictures", got=got)
        return _shrunk(pixels, self.size), (_shrunk(mask.float(), self.size) >= 0.5).to(mask.dtype)


class FollowEpochs:
    """Tell a :class:`TrainingBatch` which epoch begins.

    Args:
        batch: what the trainer prepares its batches with.
    """

    def __init__(self, batch: TrainingBatch) -> None:
        self.batch = batch

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Begin an epoch."""
        before = self.batch.size
        self.batch.follow(engine.state.epoch - 1)
        if self.batch.size != before or (self.batch.size and engine.state.epoch == 1):
            size = " x ".join(map(str, self.batch.size)) if self.batch.size else "full size"
            logger.info("epoch %d: pictures of %s", engine.state.epoch, size)


def _shrunk(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return interpolate(tensor, size, mode="area")


def _checked(sizes: Sequence[Any]) -> list[tuple[int, tuple[int, int]]]:
    try:
        steps = [(int(epoch), (int(rows), int(columns))) for epoch, (rows, columns) in sizes]
    except (TypeError, ValueError) as error:
        rule = "must be a list of [epoch, [rows, columns]]"
        raise InputError("--sizes", rule, got=sizes, fix="For instance [[0,[96,96]],[10,[160,160]]]") from error
    epochs = [epoch for epoch, _ in steps]
    if epochs and (epochs[0] != 0 or epochs != sorted(set(epochs))):
        raise InputError("--sizes", "must begin with epoch 0, and the epochs must rise", got=epochs)
    small = [size for _, size in steps if min(size) < MIN_SIZE]
    if small:
        raise InputError("--sizes", f"must be at least {MIN_SIZE} pixels each way", got=small[0])
    return steps
