"""The plan of a run: which items belong to which part. Written whole, before any picture is segmented.

A part is what a worker does at a time and what a file of rows holds. A part of the plan never changes, only new ones
come behind; so one that is done again is the same, whoever does it: that is what makes a run exactly-once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.archive.listings import Item
from monai_lesion.archive.schemas import load_arrow
from monai_lesion.errors import InputError
from monai_lesion.files import read_object, replacing, replacing_folder

PARTS = 1000  # of a file, a row group each
PART_FILES = 1000
PART_BYTES = 256 * 2**20  # of pictures, so that a part of cines stays short
PART_STUDIES = 10
BATCH = 10_000  # items that are looked for at a time
FOLDER, SUMMARY = "plan", "plan.json"


@dataclass(frozen=True)
class Plan:
    """A finished plan.

    Attributes:
        folder: the folder ``plan`` of the results.
        parts: how many parts it has, counted from 0.
        items: how many items all of them have.
    """

    folder: Path
    parts: int
    items: int

    def part(self, number: int) -> list[Item]:
        """The items of a part.

        Raises:
            InputError: when the plan is damaged.
        """
        file = _file(self.folder, number // PARTS)
        arrow = load_arrow()
        try:
            with arrow.parquet.ParquetFile(file) as source:
                rows = source.read_row_group(number % PARTS).to_pylist()
        except (arrow.ArrowException, OSError, IndexError) as error:
            got = str(error).splitlines()[0]
            raise InputError(file, "must be the plan that this run made", got=got, fix=LOST) from error
        return [Item(**{**row, "path": os.fsdecode(row["path"]), "member": os.fsdecode(row["member"])}) for row in rows]

    def unseen(self, items: Iterable[Item]) -> Iterator[Item]:
        """Those of some items that are not planned; eight bytes of each planned one are in memory.

        Raises:
            InputError: when the plan is damaged.
        """
        planned = (item.key for number in range(self.parts) for item in self.part(number))
        known, source = np.sort(np.fromiter(planned, np.uint64)), iter(items)
        while batch := list(islice(source, BATCH)):
            keys = np.array([item.key for item in batch], np.uint64)
            there = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)]
            yield from (item for item, old in zip(batch, there == keys, strict=True) if not old)


LOST = "Restore it, or begin again in another folder"


def read_plan(output: Path) -> Plan | None:
    """The plan of a folder of results; None where it has none yet.

    Raises:
        InputError: when it is damaged.
    """
    folder = output / FOLDER
    if not folder.is_dir():
        return None
    known = read_object(folder / SUMMARY, "must be the summary of a plan")
    parts, items = known.get("parts"), known.get("items")
    if not (isinstance(parts, int) and isinstance(items, int)):
        raise InputError(folder / SUMMARY, "must have the numbers parts and items", got=known, fix=LOST)
    return Plan(folder, parts, items)


def write_plan(output: Path, items: Iterable[Item], *, part_files: int = PART_FILES, shown: Any = None) -> Plan:
    """Divide items into parts and write them; only one part is ever in memory.

    Args:
        output: folder of the results.
        items: what the archive holds.
        part_files: most files of a part.
        shown: a progress bar that counts the items.

    Raises:
        InputError: when there are none.
    """
    with replacing_folder(output / FOLDER) as folder:
        parts, found = _write_parts(folder, _divided(items, part_files), shown=shown)
        if not parts:
            raise InputError("SOURCE", "must hold pictures", got="none", fix="Check --sample, --limit and --exclude")
        _summarise(folder, parts, found)
    return Plan(output / FOLDER, parts, found)


def extend_plan(plan: Plan, items: Iterable[Item], *, part_files: int = PART_FILES, shown: Any = None) -> Plan:
    """Put items into parts behind those of a plan, which stay as they are; what fails half-way changes nothing.

    Args:
        plan: what is planned already.
        items: what is not; see :meth:`Plan.unseen`.
        part_files: most files of a part.
        shown: a progress bar that counts the new items.
    """
    new = _divided(items, part_files)
    if (first := next(new, None)) is None:
        return plan
    begin = plan.parts // PARTS * PARTS  # the last file is written anew, with its parts first
    kept = (plan.part(number) for number in range(begin, plan.parts))
    parts, found = _write_parts(plan.folder, chain(kept, [first], new), begin=begin, known=plan.parts, shown=shown)
    _summarise(plan.folder, parts, plan.items + found)
    return Plan(plan.folder, parts, plan.items + found)


def _write_parts(
    folder: Path, parts: Iterable[list[Item]], *, begin: int = 0, known: int = 0, shown: Any = None
) -> tuple[int, int]:
    """Write parts from the one with the number ``begin``, the first of a file.

    Returns:
        The number after the last part, and how many items those from the number ``known`` on have.
    """
    arrow = load_arrow()
    kinds = {"path": arrow.binary(), "member": arrow.binary(), "offset": arrow.int64(), "size": arrow.int64()}
    schema = arrow.schema({**kinds, "frame": arrow.int32(), "study": arrow.string()})
    source, number, total = iter(parts), begin, 0
    while (first := next(source, None)) is not None:
        with (
            replacing(_file(folder, number // PARTS)) as partial,
            arrow.parquet.ParquetWriter(partial, schema) as writer,
        ):
            for part in chain([first], islice(source, PARTS - 1)):
                rows = [
                    {**vars(each), **{key: os.fsencode(vars(each)[key]) for key in ("path", "member")}} for each in part
                ]
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                if number >= known:
                    total += len(part)
                    if shown is not None:
                        shown.update(len(part))
                number += 1
    return number, total


def _summarise(folder: Path, parts: int, items: int) -> None:
    with replacing(folder / SUMMARY) as partial:
        partial.write_text(json.dumps({"parts": parts, "items": items}) + "\n", encoding="utf-8")


def _divided(items: Iterable[Item], part_files: int) -> Iterator[list[Item]]:
    """Parts of few enough files, bytes and studies; a compressed tar file is one part, for it is read in one go."""
    part: list[Item] = []
    size = 0
    for item in items:
        most = min(part_files, PART_STUDIES) if item.study else part_files
        alone = item.packed or (part and part[-1].packed)
        full = len(part) >= most or size + item.size > PART_BYTES
        if part and (item.path != part[-1].path if alone else full):
            yield part
            part, size = [], 0
        part.append(item)
        size += item.size
    if part:
        yield part


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"
