"""What an archive holds, one item at a time: folders, patterns, tar files, lists, and the studies of a DICOMweb query.

::

    SOURCE --+-- folder ---- walked, a folder in memory at a time
             +-- pattern --- each match as if it had been named
             +-- tar ------- its members; nothing is ever unpacked to disk
             +-- CSV, Parquet -- the files of its column `path`
             +-- http(s) --- the studies that the query finds
"""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from monai_lesion.archive.schemas import load_arrow
from monai_lesion.datasets.image_lists import walk_images
from monai_lesion.datasets.mask_names import SUFFIXES
from monai_lesion.errors import InputError, listing
from monai_lesion.files import no_file

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LISTS = (".csv", ".parquet")
COLUMN = "path"
FIX = "Name a folder, a pattern in quotes, a tar file, a CSV or Parquet list, or the URL of DICOMweb services"


@dataclass(frozen=True)
class Item:
    """One file of an archive, or one study of a DICOMweb archive.

    Args:
        path: the file, absolute; of a study, the URL of the services.
        member: its name in the tar file ``path``; empty otherwise.
        offset: where in the tar file, unpacked, the member begins.
        size: bytes of the file or member; 0 where it is not known.
        frame: the one frame to segment, counted from 0; None for all.
        study: Study Instance UID; empty for files.
    """

    path: str
    member: str = ""
    offset: int = 0
    size: int = 0
    frame: int | None = None
    study: str = ""

    @property
    def packed(self) -> bool:
        """Whether it lies in a compressed tar file, which can only be read from its beginning."""
        return bool(self.member) and not self.path.lower().endswith(".tar")

    @property
    def key(self) -> int:
        """64 bits by which it is known again, whatever its size and place."""
        text = f"{self.path}\0{self.member}\0{self.frame}\0{self.study}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.study:
            return f"study {self.study}"
        return f"{self.path}: {self.member}" if self.member else self.path


def list_items(
    sources: Sequence[str],
    *,
    leave_out: Path | None = None,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    sample: float = 1.0,
    studies: Any = None,
) -> Iterator[Item]:
    """Give the items of sources, one by one.

    Args:
        sources: see above.
        leave_out: folder of the results, which is not searched.
        exclude: patterns of files to leave out, see :func:`monai_lesion.datasets.image_lists.find_images`.
        limit: most items to give; None for all.
        sample: share of the items to give, drawn by their names: the same share of the same archive is the same.
        studies: gives the Study Instance UIDs of a URL with its query.

    Raises:
        InputError: for a source that does not exist or is of no such kind, a tar file with a member outside it, or a
            list without its column.
    """
    found = (item for source in sources for item in _of(source, leave_out, exclude, studies))
    drawn = found if sample >= 1 else (item for item in found if item.key / 2**64 < sample)
    return drawn if limit is None else islice(drawn, limit)


def _of(source: str, leave_out: Path | None, exclude: Sequence[str], studies: Any) -> Iterator[Item]:
    if is_url(source):
        yield from (Item(source.split("?")[0], study=uid) for uid in studies(source))
        return
    path = Path(source)
    if os.path.isdir(path):
        for file in walk_images(path, leave_out=leave_out, exclude=exclude):
            yield Item(os.path.abspath(file), size=_size(file))
        return
    name = path.name.lower()
    if os.path.isfile(path) and name.endswith(TARS):
        yield from tar_items(path)
    elif os.path.isfile(path) and name.endswith(LISTS):
        yield from listed_items(path)
    elif os.path.isfile(path):
        yield Item(os.path.abspath(path), size=_size(path))
    elif glob.has_magic(source) and not os.path.lexists(source):
        matches = 0
        for match in glob.iglob(source, recursive=True):
            matches += 1
            if not (os.path.isdir(match) and "**" in source):  # whose files match themselves
                yield from _of(match, leave_out, exclude, studies)
        if not matches:
            raise InputError(source, "must match files", got="none", fix=FIX)
    else:
        raise InputError(source, "must be an existing source", got=no_file(path) or "another kind", fix=FIX)


def is_url(source: str) -> bool:
    """Whether a source is a DICOMweb archive."""
    return source.startswith(("http://", "https://"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # told when its turn comes
        return 0


def tar_items(path: Path) -> Iterator[Item]:
    """The pictures among a tar file's members.

    Raises:
        InputError: when it is damaged, or a member's name is absolute or leads out of it.
    """
    place = os.path.abspath(path)
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or (len(member.name) > 1 and member.name[1] == ":"):
                    rule, fix = "members must lie in the tar file", "Refused: pack it again with relative names"
                    raise InputError(path, rule, got=member.name, fix=fix)
                if member.isreg() and _may_be_picture(name.name):
                    yield Item(place, member.name, member.offset_data, member.size)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, "must be a readable tar file", got=str(error) or type(error).__name__) from error


def _may_be_picture(name: str) -> bool:
    """A picture by its ending, or a DICOM file, which often has none."""
    ending = PurePosixPath(name).suffix
    plain = not ending or ending[1:].isdigit()  # the last number of an identifier
    return not name.startswith(".") and name != "DICOMDIR" and (plain or name.lower().endswith(SUFFIXES))


def listed_items(path: Path) -> Iterator[Item]:
    """The files of a list, and their frames where it has a column ``frame``; relative to the list's folder.

    Raises:
        InputError: when it cannot be read, lacks the column, or an entry is empty or no frame.
    """
    folder = path.absolute().parent
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    for number, (file, frame) in enumerate(rows, start=1):
        where = f"{path}, entry {number}"
        if not isinstance(file, str) or not file.strip():
            raise InputError(where, f"{COLUMN} must name a file", got=repr(file))
        if frame in (None, ""):
            chosen = None
        elif str(frame).isdecimal():
            chosen = int(frame)
        else:
            raise InputError(where, "frame must be a whole number from 0, or empty", got=frame)
        place = os.path.normpath(os.path.join(folder, file))
        yield Item(place, size=_size(Path(place)), frame=chosen)


def _check_column(path: Path, names: Iterable[str]) -> None:
    known = list(names)
    if COLUMN not in known:
        fix = f"Rename the column that names the files to {COLUMN}"
        raise InputError(path, f"must have the column {COLUMN}", got=listing(known) or "no columns", fix=fix)


def _csv_rows(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            _check_column(path, reader.fieldnames or ())
            for row in reader:
                yield row[COLUMN], row.get("frame")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, "must be a CSV file in UTF-8", got=error) from error


def _parquet_rows(path: Path) -> Iterator[tuple[Any, Any]]:
    arrow = load_arrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_column(path, names)
            wanted = [COLUMN, "frame"] if "frame" in names else [COLUMN]
            for batch in file.iter_batches(10_000, columns=wanted):
                columns = [batch.column(name).to_pylist() for name in wanted]
                yield from zip(columns[0], columns[1] if len(columns) > 1 else [None] * len(batch), strict=True)
    except (arrow.ArrowException, OSError) as error:
        got = str(error).splitlines()[0]
        raise InputError(path, "must be a readable Parquet file", got=got) from error
