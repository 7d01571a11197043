"""The finished parts of a run: Parquet files that appear whole, once, and the manifest that says what each must be.

::

    rows -- .partial-... -- link, which fails where the part is there already -- part-000012.parquet -- manifest.jsonl
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from monai_lesion.archive.schemas import KEY, PLACES, VERSION, arrow_schema, load_arrow
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, partial_prefix, sweep

GROUP = 1000  # rows of a row group
BLOCK = 1000  # parts of a folder
FOLDER, MANIFEST = "rows", "manifest.jsonl"
COMPRESSION = "zstd"


@dataclass(frozen=True)
class Part:
    """A finished part, as the manifest lists it.

    Attributes:
        part: its number in the plan.
        bytes: size of its file.
        sha256: of its file.
        rows: how many it has.
        errors: how many of them are errors.
        decisions: how many rows have each decision; ``""`` without one.
    """

    part: int
    bytes: int
    sha256: str
    rows: int
    errors: int
    decisions: Mapping[str, int] = field(default_factory=dict)


def part_file(output: Path, part: int) -> Path:
    """Where the rows of a part lie; no folder has more than a thousand."""
    return output / FOLDER / f"block={part // BLOCK:04d}" / f"part-{part:06d}.parquet"


def write_part(output: Path, part: int, run: str, rows: Iterable[Mapping[str, Any]]) -> Part:
    """Write the rows of a part; a thousand are in memory. A part that is there already stays, whoever wrote it.

    Args:
        output: folder of the results.
        part: its number.
        run: identity of the run that the part belongs to.
        rows: without the column ``row``.

    Raises:
        OSError: when it cannot be written.
    """
    arrow = load_arrow()
    file = part_file(output, part)
    if file.exists():
        return read_part(output, part, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    sweep(file.parent)
    counts: Counter[str] = Counter()
    count = errors = 0
    schema = arrow_schema({KEY: json.dumps({"version": VERSION, "run": run, "part": part}).encode()})
    partial = file.with_name(f"{partial_prefix()}{part:06d}.parquet")
    source = iter(rows)
    try:
        with arrow.parquet.ParquetWriter(partial, schema, compression=COMPRESSION) as writer:
            while group := list(islice(source, GROUP)):
                numbered = [{**row, "row": part * PLACES + count + place} for place, row in enumerate(group)]
                writer.write_table(arrow.Table.from_pylist(numbered, schema))
                count += len(group)
                errors += sum(row.get("error") is not None for row in group)
                counts.update(row.get("decision") or "" for row in group if row.get("error") is None)
                if count > PLACES:
                    fix = "Run it again with a smaller --part-files, in another folder"
                    raise InputError(file, f"must have at most {PLACES} rows", got="more", fix=fix)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        found = Part(part, partial.stat().st_size, file_sha256(partial), count, errors, dict(counts))
        return found if _commit(partial, file) else read_part(output, part, run)
    finally:
        partial.unlink(missing_ok=True)


def _commit(partial: Path, file: Path) -> bool:
    """Give a file its name unless it is taken; whether it was not."""
    try:
        os.link(partial, file)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        os.replace(partial, file)
    return True


def read_part(output: Path, part: int, run: str) -> Part:
    """Read all of a part that no manifest lists, and say what it is.

    Raises:
        InputError: when it is damaged, or of another run or version.
    """
    arrow = load_arrow()
    file, rule = part_file(output, part), "must be a whole part of this run"
    try:
        with arrow.parquet.ParquetFile(file) as source:
            known = json.loads((source.schema_arrow.metadata or {}).get(KEY, b"{}"))
            table = source.read(columns=["row", "decision", "error"])
            for batch in source.iter_batches(GROUP):
                batch.validate(full=True)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InputError(file, rule, got=f"a damaged file ({type(error).__name__})", fix=DAMAGED) from error
    if known != {"version": VERSION, "run": run, "part": part}:
        raise InputError(file, rule, got=f"a part of another run or version {known.get('version')}", fix=DAMAGED)
    broken = [error is not None for error in table["error"].to_pylist()]
    decisions = Counter(each or "" for each, bad in zip(table["decision"].to_pylist(), broken, strict=True) if not bad)
    return Part(part, file.stat().st_size, file_sha256(file), len(broken), sum(broken), dict(decisions))


DAMAGED = "Restore it, or delete it to have it made again; nothing else is touched"


class Manifest:
    """The list of finished parts, a line of JSON each, in the order in which they were finished.

    Args:
        output: folder of the results.
    """

    def __init__(self, output: Path) -> None:
        self.path = output / MANIFEST

    def read(self) -> dict[int, Part]:
        """The parts by their numbers. A last line that was cut off when the machine stopped is left out.

        Raises:
            InputError: when another line is damaged.
        """
        if not self.path.is_file():
            return {}
        parts: dict[int, Part] = {}
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                part = Part(**json.loads(line))
            except (ValueError, TypeError) as error:
                if number == len(lines):  # without its end
                    continue
                got = f"line {number} is damaged"
                raise InputError(self.path, "must list the finished parts", got=got, fix=FORGET) from error
            parts[part.part] = part
        return parts

    def append(self, part: Part) -> None:
        """Add a part, on the disk before this returns."""
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # after a line that was cut off
                    self._cut(file)
            file.write(json.dumps(asdict(part)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _cut(file: Any) -> None:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.seek(0, os.SEEK_END)


FORGET = "Delete it: the parts are then read again, and those that are whole stay"


def check_parts(output: Path, run: str, parts: int, shown: Any = None) -> dict[int, Part]:
    """Hold each part on the disk to the manifest, and take up whole ones that it lacks. No file is changed.

    Args:
        output: folder of the results.
        run: identity of the run.
        parts: how many the plan has.
        shown: a progress bar that counts the parts.

    Returns:
        The finished parts by their numbers. One that the manifest lists and the disk lacks is not among them.

    Raises:
        InputError: names the parts that are damaged.
    """
    manifest = Manifest(output)
    listed, found, broken = manifest.read(), {}, []
    for number in _numbers(output):
        try:
            if number >= parts:
                raise InputError(part_file(output, number), f"must be one of the plan's {parts} parts")
            known = listed.get(number)
            if known is None:
                known = read_part(output, number, run)
                manifest.append(known)
            else:
                _check_same(part_file(output, number), known)
            found[number] = known
        except InputError as error:
            broken.append(str(error))
        if shown is not None:
            shown.update()
    if broken:
        raise InputError(f"{len(broken)} finished parts cannot be gone on from:\n  " + "\n  ".join(broken[:10]))
    return found


def _check_same(file: Path, known: Part) -> None:
    size = file.stat().st_size
    if size != known.bytes:
        raise InputError(file, f"must have the {known.bytes} bytes that the manifest says", got=size, fix=DAMAGED)
    if file_sha256(file) != known.sha256:
        raise InputError(file, "must have the content that the manifest says", got="another", fix=DAMAGED)


def _numbers(output: Path) -> Iterator[int]:
    for file in sorted((output / FOLDER).glob("block=*/part-*.parquet")):
        if file.stem[5:].isdecimal():
            yield int(file.stem[5:])
