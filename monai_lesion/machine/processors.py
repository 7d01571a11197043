"""Find out what this machine's processor can do."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

# As Linux names them: Intel and AMD, Intel's matrix unit, Arm.
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
SHOWN = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", *sorted(BFLOAT16), "amx_int8")


@dataclass(frozen=True)
class Processor:
    """A processor as this process sees it.

    Args:
        name: model of the processor.
        cores: number of cores this process may use.
        features: instruction sets it has, of those that matter here.
    """

    name: str
    cores: int
    features: tuple[str, ...]

    @property
    def bfloat16(self) -> bool:
        """Whether the processor multiplies bfloat16 numbers; False if unknown."""
        return not BFLOAT16.isdisjoint(self.features)

    def __str__(self) -> str:
        return f"{self.name}, {self.cores} cores, {' '.join(self.features) or 'instruction sets unknown'}"


@cache
def processor() -> Processor:
    """Describe this machine's processor; instruction sets are known only on Linux."""
    facts: dict[str, str] = {}
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip(), value.strip())
    known = set(facts.get("flags", facts.get("Features", "")).split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = facts.get("model name") or platform.processor() or platform.machine()
    return Processor(name, cores, tuple(feature for feature in SHOWN if feature in known))


def supported(precision: str, runtime: str) -> str:
    """Choose the precision to use: float32 if the processor lacks bfloat16, with one warning.

    Args:
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``; int8 runs everywhere, slower on old processors.
        runtime: name of the runtime, for the warning.
    """
    if precision != "bf16" or processor().bfloat16:
        return precision
    _warn(f"{runtime}: this processor ({processor().name}) has no bfloat16 arithmetic, so float32 is used")
    return "fp32"


@cache
def _warn(message: str) -> None:
    logger.warning(message)
