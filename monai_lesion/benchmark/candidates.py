"""Choose the networks of a benchmark, their width and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.complexity import FAMILY, NETWORKS, count_flops, count_parameters
from monai_lesion.runtimes.reparameterize import reparameterize

SEED = 0  # of weights that nobody trained


@dataclass(frozen=True)
class Candidate:
    """A network to measure.

    Args:
        network: name among :data:`~monai_lesion.networks.complexity.NETWORKS`.
        width: multiplies its channels.
        weights: file of trained weights; None takes random ones.
    """

    network: str
    width: float = 1.0
    weights: Path | None = None

    @property
    def name(self) -> str:
        """Name in the tables."""
        return self.network if self.width == 1 else f"{self.network}, width {self.width:g}"

    def build(self) -> nn.Module:
        """Build the network in evaluation mode, trained or with random weights that are always the same.

        Raises:
            InputError: for a width that the network refuses.
            CheckpointError: for weights of another network.
        """
        options: dict[str, Any] = {} if self.width == 1 else {"width": self.width}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = NETWORKS[self.network].build(**options)
        if self.weights is not None:
            load_weights(network, self.weights)
        return network.eval()


@dataclass(frozen=True)
class Costs:
    """Parameters and operations of one image, as published and merged for inference."""

    parameters: int
    flops: int
    merged_flops: int


def costs_of(candidate: Candidate, size: int) -> Costs:
    """Count what a network costs at ``size`` x ``size`` pixels."""
    network = candidate.build()
    shape = (1, 3, size, size)
    return Costs(count_parameters(network), count_flops(network, shape), count_flops(reparameterize(network), shape))


def find_candidates(networks: Sequence[str], widths: Sequence[float], weights: Mapping[str, Path]) -> list[Candidate]:
    """Combine networks and widths; leave out group sizes that do not divide the layers of a width.

    Args:
        networks: names, upper or lower case; ``"@8"`` is ``"Lighter U-net @8"``.
        widths: multiples of 1/16.
        weights: file of each network by name, with its width unless that is 1: ``"Light U-net, width 0.125"``.

    Raises:
        InputError: for an unknown network or width, or weights of a network that is not measured.
        CheckpointError: for weights that do not fit.
    """
    names = [_network(name) for name in networks]
    if not names or not widths:
        raise InputError("--networks and --widths", "must name at least one each", got="none")
    files = {_weighted(name): file for name, file in weights.items()}
    found = []
    for network in dict.fromkeys(names):
        for width in dict.fromkeys(widths):
            candidate = Candidate(network, width, files.pop((network, width), None))
            if width != 1 and network not in FAMILY:
                raise InputError("--widths", f"must be 1 for {network}", got=f"{width:g}")
            try:
                candidate.build()
            except InputError as error:
                if not str(error).startswith("group_size"):
                    raise
            else:
                found.append(candidate)
    if files:
        listed = ", ".join(Candidate(*key).name for key in files)
        raise InputError("--weights", "must name networks that are measured", got=listed)
    if not found:
        raise InputError("--widths", "leave none of --networks", got=", ".join(f"{width:g}" for width in widths))
    return found


def _network(name: str) -> str:
    known = {each.lower(): each for each in NETWORKS} | {
        each.split()[-1]: each for each in NETWORKS if each.startswith("Lighter")
    }
    if name.strip().lower() not in known:
        raise InputError("--networks", f"must be one of {', '.join(NETWORKS)}", got=name)
    return known[name.strip().lower()]


def _weighted(name: str) -> tuple[str, float]:
    network, comma, width = name.partition(",")
    if not comma:
        return _network(network), 1.0
    try:
        return _network(network), float(width.replace("width", ""))
    except ValueError as error:
        raise InputError("--weights", "must be NAME=FILE or 'NAME, width W=FILE'", got=name) from error
