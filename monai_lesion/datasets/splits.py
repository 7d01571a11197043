"""Split patients into training, validation and test: exact sizes, seeded, balanced by stratum."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from monai_lesion.datasets.entries import SPLITS, Entry
from monai_lesion.errors import InputError, listing

DEALT = SPLITS[:3]  # the splits that shares are for; calibration cases are taken from the training cases afterwards


def assign_splits(strata: Mapping[str, Any], sizes: Sequence[int], *, seed: int) -> dict[str, int]:
    """Split groups into exact sizes, with each stratum spread evenly.

    Args:
        strata: the stratum of each group (a case or patient); one value for all is a plain random split.
        sizes: number of groups in each split.
        seed: random seed for the split.

    Returns:
        For each group the number of its split; groups left over are not in it.

    Raises:
        InputError: when there are fewer groups than the sizes need.

    Example:
        >>> dealt = assign_splits({str(i): i % 2 for i in range(10)}, [6, 2, 2], seed=0)
        >>> [sum(int(group) % 2 for group in dealt if dealt[group] == split) for split in range(3)]
        [3, 1, 1]
    """
    if sum(sizes) > len(strata) or min(sizes) < 0:
        fix = "For shares write decimals, such as 0.6,0.2,0.2"
        raise InputError(
            "split", f"must sum to at most the number of patients, {len(strata)}", got=tuple(sizes), fix=fix
        )
    groups = sorted(strata)
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: str(strata[group]))  # stable: random within each stratum
    rest = len(groups) - sum(sizes)
    # Each split's turns are spread evenly over the row of groups, so each stratum gets its share.
    turns = [((turn + 0.5) / size, split) for split, size in enumerate([*sizes, rest]) for turn in range(size)]
    return {group: split for group, (_, split) in zip(groups, sorted(turns), strict=True) if split < len(sizes)}


def split_sizes(split: Sequence[float], groups: int) -> list[int]:
    """Turn shares that sum to 1 into exact sizes (largest remainder); whole numbers are sizes already.

    A share above 0 is at least one group where there are enough.

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
        raise InputError("split", "must be three whole numbers, or three shares that sum to 1", got=tuple(split))
    exact = [share * groups for share in split]
    sizes = [int(size) for size in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: sizes[i] - exact[i])
    for i in by_remainder[: groups - sum(sizes)]:
        sizes[i] += 1
    for i, share in enumerate(split):
        if share and not sizes[i] and max(sizes) > 1:
            sizes[sizes.index(max(sizes))] -= 1
            sizes[i] = 1
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
        split: three numbers of patients, or three shares, for training, validation and test.
        seed: random seed for the split.
        stratify: columns to balance over the splits; a patient's value is that of the first image.
        calibration: share of the training patients to move to a fourth list, ``calibration``; 0 makes no such list.

    Raises:
        InputError: when a column is unknown, the sizes do not fit, or a split that was asked for would be empty.
    """
    strata = strata_of(entries, stratify)
    sizes = split_sizes(split, len(strata))
    empty = [name for name, share, size in zip(DEALT, split, sizes, strict=True) if share and not size]
    if empty:
        got = f"{len(strata)} patients: {listing(sorted(strata))}"
        fix = "Correct {patient} and {case} of the pattern, or ask for no such split: a share of 0"
        raise InputError("split", f"must leave a patient for {' and '.join(empty)}", got=got, fix=fix)
    dealt = assign_splits(strata, sizes, seed=seed)
    lists: dict[str, list[Entry]] = {name: [] for name in DEALT}
    for entry in entries:
        number = dealt.get(patient_of(entry))
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
    """Set aside a share of the patients in a list of entries.

    Args:
        entries: the list.
        share: share of its patients to set aside, at least 0 and below 1.
        seed: random seed for the split.
        stratify: see :func:`deal`.

    Returns:
        The entries that stay and those set aside, both in the order of the list.

    Raises:
        InputError: when a column is unknown or the share is out of range.
    """
    if not 0 <= share < 1:
        raise InputError("share set aside", "must be at least 0 and below 1", got=share)
    strata = strata_of(entries, stratify)
    size = max(round(share * len(strata)), 1 if share else 0)
    if share and size >= len(strata):
        raise InputError("share set aside", "must leave patients on both sides", got=f"{share:g} of {len(strata)}")
    aside = assign_splits(strata, [size], seed=seed)
    stays = [entry for entry in entries if patient_of(entry) not in aside]
    return stays, [entry for entry in entries if patient_of(entry) in aside]


def patient_of(entry: Entry) -> str:
    """The patient of an entry: its case where it names none."""
    return str(entry.get("patient_id", entry["case_id"]))


def strata_of(entries: Sequence[Entry], stratify: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Find the stratum of each patient: the values of the first image.

    Args:
        entries: the entries.
        stratify: columns.

    Raises:
        InputError: when an entry lacks a column.
    """
    strata: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        for column in stratify:
            if column not in entry:
                raise InputError("stratify", f"must name columns of the entries: {', '.join(entry)}", got=column)
        strata.setdefault(patient_of(entry), tuple(str(entry[column]) for column in stratify))
    return strata
