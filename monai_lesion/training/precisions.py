"""Choose how a training computes: bfloat16 and memory layout as set, as its checkpoint says, or whichever is faster."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
GAIN = 1.03  # what another way must be faster by, for the measurement itself is no more exact


class Way(NamedTuple):
    """A way to compute; true in a condition where it is bfloat16.

    Args:
        low: in bfloat16, else in float32.
        layout: of pictures and weights in memory.
    """

    low: bool
    layout: torch.memory_format = torch.channels_last

    def __bool__(self) -> bool:
        return self.low

    def __str__(self) -> str:
        layout = "channels-last" if self.layout == torch.channels_last else "contiguous"
        return f"{'bfloat16' if self.low else 'float32'}, {layout}"


FLOAT32, BFLOAT16, CONTIGUOUS = Way(False), Way(True), Way(False, torch.contiguous_format)
WAYS = (FLOAT32, BFLOAT16, CONTIGUOUS)


class Precision:
    """The precision of one training; true in a condition where it is bfloat16.

    bfloat16 is two to three times as fast as float32 on a processor with AMX, about as fast or faster with
    ``avx512_bf16`` alone, and up to eleven times slower where the processor has neither. There, in float32, networks of
    regular or grouped convolutions train up to 1.5 times as fast contiguous, and depthwise ones 1.5 times as fast
    channels-last. So ``"auto"`` is decided when the training begins (:class:`ChoosePrecision`) and kept in its
    checkpoint; until then, and where it is forced, it is channels-last.

    Args:
        amp: ``"auto"`` decides by measuring; true forces mixed precision, false float32.
        device: where the network runs. On CUDA ``"auto"`` always means mixed precision.

    Raises:
        InputError: for another ``amp``.

    Example:
        >>> bool(Precision(True)), bool(Precision("false")), Precision("auto").decided
        (True, False, False)
    """

    def __init__(self, amp: bool | str = "auto", device: str | torch.device = "cpu") -> None:
        known = {"true": BFLOAT16, "false": FLOAT32, "auto": None}
        if str(amp).lower() not in known:
            raise InputError("--amp", 'must be true, false or "auto"', got=repr(amp))
        told = known[str(amp).lower()]
        self.forced = told is not None
        self.way = BFLOAT16 if told is None and torch.device(device).type == "cuda" else told

    @property
    def decided(self) -> bool:
        """Whether the decision was made."""
        return self.way is not None

    @property
    def layout(self) -> torch.memory_format:
        """Layout of pictures and weights in memory."""
        return torch.channels_last if self.way is None else self.way.layout

    def __bool__(self) -> bool:
        return bool(self.way)

    def state_dict(self) -> dict[str, bool]:
        """The decision, where there is one."""
        return {} if self.way is None else {"low": self.way.low, "contiguous": self.way == CONTIGUOUS}

    def load_state_dict(self, state: Mapping[str, bool]) -> None:
        """Take up the decision of a training that goes on; what is forced stands.

        A state without one is of before there were decisions, when every training on a CPU used bfloat16.
        """
        if not self.forced:
            self.way = BFLOAT16 if state.get("low", True) else CONTIGUOUS if state.get("contiguous") else FLOAT32
            logger.info("precision: %s, as when this training began", self.way)


class ChoosePrecision:
    """Decide the precision when a training begins, for all its processes, and log why.

    Args:
        precision: what is decided.
        network: the network that is trained; copies are measured. Its weights take the layout.
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
        """Decide, unless it is decided, and lay the weights out."""
        if not self.precision.decided:
            way, reason = (BFLOAT16, "this processor has AMX") if has_amx() else self._measured()
            if idist.get_world_size() > 1:
                way = WAYS[int(idist.broadcast(float(WAYS.index(way)), src=0))]
            self.precision.way = way
            logger.info("precision: %s, for %s; --amp true or false forces one", way, reason)
        self.network.to(memory_format=self.precision.layout)  # type: ignore[call-overload]

    def _measured(self) -> tuple[Way, str]:
        seconds = measured_seconds(self.network, self.shape)
        return chosen(seconds), "a step takes " + ", ".join(f"{taken:.2f} s in {way}" for way, taken in seconds.items())


def has_amx() -> bool:
    """Whether the processor multiplies bfloat16 matrices, and nothing forbids it to."""
    return "amx_bf16" in processor().features and not any(os.environ.get(name) for name in LIMITS)


def ways() -> list[Way]:
    """The ways to compute that can be the fastest here.

    bfloat16 is left out where the processor is known to have none of it: one such step may take minutes. Several
    processes stay channels-last, as the gradients that they exchange are laid out already.
    """
    known = processor()
    several = [CONTIGUOUS] if idist.get_world_size() > 1 else []
    return [way for way in WAYS if way not in several and (not way or known.bfloat16 or not known.features)]


def measured_seconds(network: torch.nn.Module, shape: Sequence[int]) -> dict[Way, float]:
    """CPU seconds of a training step by way to compute: the best of a few steps each, in turns.

    Args:
        network: is copied; neither its weights nor PyTorch's random numbers move.
        shape: shape of the input.
    """
    with torch.random.fork_rng(devices=[]):
        pictures, possible = torch.rand(tuple(shape)), ways()
        steps = [_step(network, pictures, way) for way in possible]
        best = [_seconds(step) for step in steps]  # compiles kernels; the only one of a network that takes minutes
        if sum(best) <= 10 * SECONDS:
            start = time.perf_counter()
            best = [_seconds(step) for step in steps]
            for _ in range(REPEATS - 1):
                if time.perf_counter() - start > SECONDS:
                    break
                best = [min(old, _seconds(step)) for old, step in zip(best, steps, strict=True)]
    return dict(zip(possible, best, strict=True))


def chosen(seconds: Mapping[Way, float]) -> Way:
    """The fastest way; one that is not the first counts as faster only where it is so by more than chance.

    Args:
        seconds: of a step by way, in the order of :data:`WAYS`.

    Example:
        >>> str(chosen({FLOAT32: 1.0, BFLOAT16: 0.99, CONTIGUOUS: 0.8}))
        'float32, contiguous'
    """
    best = FLOAT32
    for way, taken in seconds.items():
        if seconds[best] > GAIN * taken:
            best = way
    return best


def _step(network: torch.nn.Module, pictures: torch.Tensor, way: Way) -> Callable[[], Any]:
    subject = copy.deepcopy(network).train().to(memory_format=way.layout)  # type: ignore[call-overload]
    inferer = MixedPrecisionInferer(way)

    def step() -> None:
        subject.zero_grad()
        outputs = inferer(pictures, subject)
        losses = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        torch.stack([each.square().mean() for each in losses]).sum().backward()  # type: ignore[no-untyped-call]

    return step


def _seconds(step: Callable[[], Any]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start
