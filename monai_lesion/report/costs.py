"""Count what the networks of a report cost: parameters, arithmetic, and time on this machine's CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from monai_lesion.machine.timing import median_milliseconds
from monai_lesion.report.studies import TrialRecord

REPEATS = 5


class Costs(NamedTuple):
    """Costs of one network: parameters, operations for one image at the study's resolution, milliseconds."""

    parameters: int
    flops: int
    milliseconds: float | None = None


def network_costs(networks: Mapping[str, Sequence[TrialRecord]], *, cpu_time: bool = False) -> dict[str, Costs]:
    """Compute the costs of each network whose definition was recorded.

    Args:
        networks: the seeds of each network.
        cpu_time: time one image in float32 on the CPU: the median of five turns, all networks in each turn.
    """
    from monai_lesion.networks.definitions import build_network

    built: dict[str, tuple[Any, tuple[int, ...]]] = {}
    keys: dict[str, str] = {}
    for name, trials in networks.items():
        definition, size = trials[0].record.get("network_def"), trials[0].record.get("spatial_size")
        if not definition or not size:
            continue
        keys[name] = key = json.dumps([definition, size], sort_keys=True)
        if cpu_time and key not in built:
            built[key] = build_network(definition, any_class=True).eval(), _shape(definition, size)
    times = _times(built)
    return {name: Costs(*_counted(key), times.get(key)) for name, key in keys.items()}


@cache
def _counted(key: str) -> tuple[int, int]:
    """Count parameters and operations for a definition and an image size, both as JSON; studies share networks."""
    import torch

    from monai_lesion.networks.complexity import count_flops, count_parameters
    from monai_lesion.networks.definitions import build_network

    definition, size = json.loads(key)
    with torch.device("meta"):
        network = build_network(definition, any_class=True)
    return count_parameters(network), count_flops(network, _shape(definition, size))


def _shape(definition: Mapping[str, Any], size: Sequence[int]) -> tuple[int, ...]:
    return (1, int(definition.get("in_channels", 3)), *size)


def _times(networks: Mapping[str, tuple[Any, tuple[int, ...]]]) -> dict[str, float]:
    import torch

    with torch.inference_mode():
        work = {key: partial(network, torch.rand(shape)) for key, (network, shape) in networks.items()}
        return median_milliseconds(work, turns=REPEATS)
