"""The paper's figures, for the columns marked "another data set"."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from monai_lesion.networks.complexity import NETWORKS, Result

# Mean Dice of U-net on the paper's test set, each rung with all that stands above it.
LADDER: Mapping[str, float] = MappingProxyType(
    {
        "BCE, SGD 1e-3, batch 2": 0.855,
        "+ augmentation": 0.877,
        "+ Dice loss": 0.891,
        "+ Adam 1e-4": 0.911,
        "+ plateau schedule": 0.917,
        "+ batch 8": 0.928,
        "+ weight decay 1e-4": 0.929,
    }
)


def paper_results(table: str, entry: str, network_def: Mapping[str, Any] | None) -> tuple[str, str]:
    """Give the paper's Dice and 95 % Hausdorff distance for a row as text; empty where it reports none.

    Args:
        table: which of the paper's tables the study repeats.
        entry: name of the row.
        network_def: definition of the network.

    Example:
        >>> paper_results("table2", "U-net", {"_target_": "monai_lesion.networks.UNet"})
        ('0.929 ± 0.002', '13.92 ± 0.34')
    """
    if table == "ladder":
        return (f"{LADDER[entry]:.3f}", "") if entry in LADDER else ("", "")
    for variant in NETWORKS.values():
        if network_def == variant.network_def:
            return _text(variant.dice, 3), _text(variant.hd95, 2)
    return "", ""


def _text(result: Result, digits: int) -> str:
    return f"{result.mean:.{digits}f} ± {result.std:.{digits}f}"
