"""Group parameters, let the learning rate rise once and fall, and bound the length of gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from monai_lesion.errors import InputError


def parameter_groups(
    network: nn.Module, *, learning_rate: float, weight_decay: float = 0.0, encoder_lr_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Group parameters for an optimiser: a pre-trained encoder learns slower, norms and biases have no decay.

    Args:
        network: an encoder is what the ``encoder_parameters()`` of the network, or of the one it wraps, names.
        learning_rate: learning rate of everything but the encoder.
        weight_decay: weight decay of the weights; norms and biases (one dimension) have none.
        encoder_lr_factor: the encoder's learning rate is this much of ``learning_rate``.

    Returns:
        One to four groups, those of the decoder first.

    Raises:
        InputError: when the learning rate or the factor is not positive.
    """
    if learning_rate <= 0 or encoder_lr_factor <= 0:
        got = f"{learning_rate} and {encoder_lr_factor}"
        raise InputError("learning_rate and encoder_lr_factor", "must be positive", got=got)
    holder = next((module for module in network.modules() if hasattr(module, "encoder_parameters")), None)
    encoder = set() if holder is None else {id(parameter) for parameter in holder.encoder_parameters()}  # type: ignore[operator]
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in encoder, parameter.dim() < 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate * (encoder_lr_factor if slow else 1.0),
            "weight_decay": 0.0 if plain else weight_decay,
        }
        for (slow, plain), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def one_cycle(
    optimizer: Optimizer, *, max_epochs: int, epoch_length: int, warm_up: float = 0.1, **options: Any
) -> OneCycleLR:
    """Let the learning rate rise and fall once over a training; every group peaks at its own rate.

    Args:
        optimizer: its groups' learning rates are the peaks.
        max_epochs: epochs of the training.
        epoch_length: steps of each.
        warm_up: share of the training before the peak, but at least two steps, as a first try of a few pictures needs.
            PyTorch's own is 0.3.
        options: further options of PyTorch's ``OneCycleLR``.

    Raises:
        InputError: when rise and fall would have less than two steps each.

    Source:
        Smith and Topin, *Super-convergence*, 2018.
    """
    steps = max_epochs * epoch_length
    if not 0 < warm_up < 1:
        raise InputError("warm_up", "must be a share between 0 and 1", got=warm_up)
    rise = max(warm_up, 2 / max(steps, 1))
    if steps * (1 - rise) < 2:
        fewest = -(-max(4, math.ceil(2 / (1 - warm_up))) // epoch_length)
        rule = f"must be {fewest} or more, for the learning rate to rise and fall"
        fix = "Or lower --batch_size, which makes more steps of an epoch"
        raise InputError("--max_epochs", rule, got=f"{max_epochs} of {epoch_length} steps", fix=fix)
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=rise, **options)


class ClipGradients:
    """Limit the length of the gradient, so that a single batch cannot move the weights far.

    Neither MONAI nor ignite has such a handler.

    Args:
        max_norm: largest length, over all parameters.

    Raises:
        InputError: when it is not positive.
    """

    def __init__(self, max_norm: float) -> None:
        if not max_norm > 0:
            raise InputError("--clip_norm", "must be positive, or null", got=max_norm)
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Shorten the gradient of one step."""
        trainer: Any = engine
        if trainer.amp and trainer.scaler is not None:  # mixed precision on CUDA scales the gradients
            trainer.scaler.unscale_(trainer.optimizer)
        torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), self.max_norm)
