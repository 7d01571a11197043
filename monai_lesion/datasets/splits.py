"""Dealing patients to training, validation and test: exact sizes, seeded, evenly by stratum."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from monai_lesion.datasets.manifests import SPLITS, Entry
from monai_lesion.errors import InputError

DEALT = SPLITS[:3]  # what shares are given for; calibration cases are taken from the training cases afterwards


def assign_splits(strata: Mapping[str, Any], sizes: Sequence[int], *, seed: int) -> dict[str, int]:
    """Deal groups to splits of exact sizes, each stratum spread evenly over them.

    Args:
        strata: the stratum of each group (a case or patient); one value for all is a plain random split.
        sizes: the number of groups of each split; together no more than there are groups.
        seed: of the shuffle.

    Returns:
        The number of each group's split; groups beyond the sizes are left out.

    Raises:
        InputError: when there are fewer groups than asked for.

    Example:
        >>> dealt = assign_splits({str(i): i % 2 for i in range(10)}, [6, 2, 2], seed=0)
        >>> [sum(int(group) % 2 for group in dealt if dealt[group] == split) for split in range(3)]
        [3, 1, 1]
    """
    if sum(sizes) > len(strata) or min(sizes) < 0:
        raise InputError("split sizes", f"must sum to at most {len(strata)} groups", got=tuple(sizes))
    groups = sorted(strata)
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: str(strata[group]))  # stable: random within each stratum
    rest = len(groups) - sum(sizes)
    # Each split's turns are spread evenly over the row of groups, so each stratum gets its share.
    turns = [((turn + 0.5) / size, split) for split, size in enumerate([*sizes, rest]) for turn in range(size)]
    return {group: split for group, (_, split) in zip(groups, sorted(turns), strict=True) if split < len(sizes)}


def split_sizes(split: Sequence[float], groups: int) -> list[int]:
    """Turn ratios that sum to 1 into exact sizes (largest remainder); whole numbers are sizes already.

    Raises:
        InputError: for anything else.

    Example:
        >>> split_sizes([0.6, 0.2, 0.2], 348), split_sizes([208, 70, 70], 348)
        ([209, 70, 69], [208, 70, 70])
    """
    if len(split) != len(DEALT) or min(split) < 0:
        raise InputError("split", "must be three numbers: training, validation, test", got=tuple(split))
    if all(float(share).is_integer() for share in split) and sum(split) > 1:
        return [int(share) for share in split]
    if abs(sum(split) - 1) > 1e-6:
        raise InputError("split", "must be three counts, or three ratios that sum to 1", got=tuple(split))
    exact = [share * groups for share in split]
    sizes = [int(size) for size in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: sizes[i] - exact[i])
    for i in by_remainder[: groups - sum(sizes)]:
        sizes[i] += 1
    return sizes


def deal(
    entries: Sequence[Entry],
    split: Sequence[float],
    *,
    seed: int,
    stratify: Sequence[str] = (),
    calibration: float = 0.0,
) -> dict[str, list[Entry]]:
    """Split entries by patient into the lists of a manifest.

    Args:
        entries: the entries of all images.
        split: three counts of patients, or three ratios, for training, validation and test.
        seed: of the shuffle.
        stratify: columns whose values are spread evenly; a patient's value is that of the first image.
        calibration: share of the training patients that go to a fourth list, ``calibration``; 0 makes none.

    Raises:
        InputError: for an unknown column or sizes that do not fit.
    """
    strata = _strata(entries, stratify)
    dealt = assign_splits(strata, split_sizes(split, len(strata)), seed=seed)
    lists: dict[str, list[Entry]] = {name: [] for name in DEALT}
    for entry in entries:
        number = dealt.get(_patient(entry))
        if number is not None:
            lists[DEALT[number]].append(entry)
    if calibration:
        lists["training"], lists["calibration"] = set_aside(
            lists["training"], calibration, seed=seed, stratify=stratify
        )
    return lists


def set_aside(
    entries: Sequence[Entry], share: float, *, seed: int, stratify: Sequence[str] = ()
) -> tuple[list[Entry], list[Entry]]:
    """Take a share of the patients out of a list of entries.

    Args:
        entries: the list.
        share: of its patients, at least 0 and below 1.
        seed: of the shuffle.
        stratify: as for :func:`deal`.

    Returns:
        The entries that stay and those set aside, each in the order of the list.

    Raises:
        InputError: for an unknown column or another share.
    """
    if not 0 <= share < 1:
        raise InputError("share set aside", "must be at least 0 and below 1", got=share)
    strata = _strata(entries, stratify)
    aside = assign_splits(strata, [round(share * len(strata))], seed=seed)
    stays = [entry for entry in entries if _patient(entry) not in aside]
    return stays, [entry for entry in entries if _patient(entry) in aside]


def _patient(entry: Entry) -> str:
    return str(entry.get("patient_id", entry["case_id"]))


def _strata(entries: Sequence[Entry], stratify: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The stratum of each patient: the values of the first image."""
    strata: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        for column in stratify:
            if column not in entry:
                raise InputError("stratify", f"must name columns of the entries: {', '.join(entry)}", got=column)
        strata.setdefault(_patient(entry), tuple(str(entry[column]) for column in stratify))
    return strata
