"""Choose whether a training computes in bfloat16: as set, as its checkpoint says, or whichever is faster here."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_lesion.errors import InputError
from monai_lesion.machine.processors import processor
from monai_lesion.training.inferers import MixedPrecisionInferer

logger = logging.getLogger(__name__)

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # environment variables that take instruction sets away
PICTURES = 4  # of a measured step; fewer make bfloat16 look slower than it is in a batch of eight
SECONDS = 2.0  # after which no further step is begun
REPEATS = 3
GAIN = 1.03  # what bfloat16 must be faster by, for the measurement itself is no more exact


class Precision:
    """The precision of one training; true in a condition where it is bfloat16.

    bfloat16 is two to three times as fast as float32 on a processor with AMX, about as fast or faster with
    ``avx512_bf16`` alone, and up to eleven times slower where the processor has neither. So ``"auto"`` is decided when
    the training begins (:class:`ChoosePrecision`) and kept in its checkpoint; until then it is float32.

    Args:
        amp: ``"auto"``; true forces mixed precision, false float32.
        device: where the network runs. CUDA has mixed precision always: ``"auto"`` is true there.

    Raises:
        InputError: for another ``amp``.

    Example:
        >>> bool(Precision(True)), bool(Precision("false")), Precision("auto").decided
        (True, False, False)
    """

    def __init__(self, amp: bool | str = "auto", device: str | torch.device = "cpu") -> None:
        known = {"true": True, "false": False, "auto": None}
        if str(amp).lower() not in known:
            raise InputError("--amp", 'must be true, false or "auto"', got=repr(amp))
        told = known[str(amp).lower()]
        self.forced = told is not None
        self.low = True if told is None and torch.device(device).type == "cuda" else told

    @property
    def decided(self) -> bool:
        """Whether it stands."""
        return self.low is not None

    def __bool__(self) -> bool:
        return bool(self.low)

    def state_dict(self) -> dict[str, bool]:
        """The decision, where there is one."""
        return {} if self.low is None else {"low": self.low}

    def load_state_dict(self, state: Mapping[str, bool]) -> None:
        """Take up the decision of a training that goes on; what is forced stands.

        A state without one is of before there were decisions, when every training on a CPU used bfloat16.
        """
        if not self.forced:
            self.low = bool(state.get("low", True))
            logger.info("precision: %s, as when this training began", _name(self.low))


class ChoosePrecision:
    """Decide an open precision when a training begins, the same in all its processes, and say why.

    Args:
        precision: what is decided.
        network: the network that is trained; a copy is measured.
        spatial_size: rows and columns of its input.
        in_channels: channels of its input.
    """

    def __init__(
        self, precision: Precision, network: torch.nn.Module, *, spatial_size: Sequence[int], in_channels: int = 3
    ) -> None:
        self.precision = precision
        self.network = network
        self.shape = (PICTURES, in_channels, *spatial_size)

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after what takes up its checkpoint."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self) -> None:
        """Decide, unless it is decided."""
        if self.precision.decided:
            return
        if has_amx():
            low, reason = True, "this processor has AMX"
        else:
            ratio = measured_gain(self.network, self.shape)
            low = ratio > GAIN
            told = f"{ratio:.2f} times as fast" if ratio >= 1 else f"{1 / ratio:.2f} times slower"
            reason = f"bfloat16 is {told} here, measured on this network"
        if idist.get_world_size() > 1:
            low = bool(idist.broadcast(float(low), src=0))
        self.precision.low = low
        logger.info("precision: %s, for %s; --amp true or false forces one", _name(low), reason)


def _name(low: bool) -> str:
    return "bfloat16" if low else "float32"


def has_amx() -> bool:
    """Whether the processor multiplies bfloat16 matrices, and nothing forbids it to."""
    return "amx_bf16" in processor().features and not any(os.environ.get(name) for name in LIMITS)


def measured_gain(network: torch.nn.Module, shape: Sequence[int]) -> float:
    """How many times as fast a training step is in bfloat16: CPU time of the best of a few steps each, in turns.

    Args:
        network: is copied; neither its weights nor PyTorch's random numbers move.
        shape: shape of the input.
    """
    with torch.random.fork_rng(devices=[]):
        subject = copy.deepcopy(network).train()
        pictures = torch.rand(tuple(shape))
        steps = [_step(subject, pictures, amp=amp) for amp in (True, False)]
        first = [_seconds(step) for step in steps]  # compiles kernels; the only one of a network that takes minutes
        best, start = [float("inf")] * 2, time.perf_counter()
        for repeat in range(REPEATS):
            if repeat and time.perf_counter() - start > SECONDS:
                break
            if sum(first) > 10 * SECONDS:
                best = first
                break
            best = [min(old, _seconds(step)) for old, step in zip(best, steps, strict=True)]
    return max(best[1], 1e-9) / max(best[0], 1e-9)


def _step(network: torch.nn.Module, pictures: torch.Tensor, *, amp: bool) -> Callable[[], Any]:
    inferer = MixedPrecisionInferer(amp)

    def step() -> None:
        network.zero_grad()
        outputs = inferer(pictures, network)
        losses = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        torch.stack([each.square().mean() for each in losses]).sum().backward()  # type: ignore[no-untyped-call]

    return step


def _seconds(step: Callable[[], Any]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start
