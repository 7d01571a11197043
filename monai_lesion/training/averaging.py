"""Keep a moving average of the weights, which is then validated and saved instead of the trained network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.swa_utils import AveragedModel

from monai_lesion.errors import InputError

WARM_UP = 10  # updates; the decay is (1 + n) / (WARM_UP + n) until it reaches its own value


class WeightAverage:
    """Follow a network with an exponential moving average of its weights and running statistics.

    The average over the last steps varies less than any single step. ``network`` is validated and saved: the average,
    or the trained network itself without a ``decay``.

    PyTorch's ``AveragedModel`` keeps the average. ignite's ``EMAHandler`` shares integer buffers with the trained
    network, and its warm-up starts again on resume; here the count of updates is part of the state.

    Args:
        network: the network that is trained.
        decay: share of the average that each step keeps, such as 0.99; None takes no average. Early steps keep less, so
            that the first weights are soon forgotten.

    Raises:
        InputError: for a ``decay`` outside 0 to 1.
    """

    def __init__(self, network: torch.nn.Module, decay: float | None = None) -> None:
        if decay is not None and not 0 < decay < 1:
            raise InputError("--ema", "must be between 0 and 1, or null", got=decay)
        self.trained = network
        self.average = None if decay is None else AveragedModel(network, multi_avg_fn=_Mean(decay), use_buffers=True)

    @property
    def network(self) -> torch.nn.Module:
        """What is validated and kept."""
        return self.trained if self.average is None else self.average.module

    def update(self) -> None:
        """Take the weights of one step into the average."""
        if self.average is not None:
            self.average.update_parameters(self.trained)

    def state_dict(self) -> dict[str, Any]:
        """The average and its count of updates; empty without an average."""
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state.

        Raises:
            ValueError: when it holds an average and this training takes none, or the reverse.
        """
        if bool(state) != (self.average is not None):
            held = "an average" if state else "no average"
            raise ValueError(f"{held} of the weights, which this training {'does not take' if state else 'takes'}")
        if self.average is not None:
            self.average.load_state_dict(dict(state))


class UpdateAverage:
    """Take each step of a training into the average.

    Args:
        average: what follows the network; without a decay nothing happens.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.average.update)


class _Mean:
    """How ``AveragedModel`` takes in a step."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, averages: Any, currents: Any, count: torch.Tensor | int) -> None:
        number = int(count)
        share = 1 - min(self.decay, (1 + number) / (WARM_UP + number))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, share)
        else:  # counts of batches
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)
