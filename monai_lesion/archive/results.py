"""Read a table, also one that is still growing: a row by its number, or those that a condition in SQL selects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_lesion.archive.jobs import FILE, Record, read_record
from monai_lesion.archive.parts import FOLDER, part_file
from monai_lesion.archive.schemas import NAMES, PLACES, load_arrow
from monai_lesion.errors import InputError

Row = dict[str, Any]
AT_A_TIME = 1000
VIEW = "frames"


@dataclass(frozen=True)
class Results:
    """The table of a folder.

    Attributes:
        output: the folder.
        record: its ``run.json``.
    """

    output: Path
    record: Record

    @classmethod
    def open(cls, output: str | Path) -> Results:
        """Open a folder of results.

        Raises:
            InputError: when it is none, of another version, or has no rows yet.
        """
        folder = Path(output).absolute()
        record = read_record(folder) if (folder / FILE).is_file() else None
        if record is None or not any((folder / FOLDER).glob("*/part-*.parquet")):
            fix = "Make some: monai-lesion archive SOURCE --output FOLDER"
            raise InputError(folder, "must hold results of an archive", got="none", fix=fix)
        return cls(folder, record)

    def row(self, number: int) -> Row:
        """One row.

        Raises:
            InputError: when there is no such row, or its part is damaged.
        """
        arrow = load_arrow()
        file, rule = part_file(self.output, number // PLACES), "must be the number of a row, as the column row has it"
        if number < 0 or not file.is_file():
            raise InputError("--row", rule, got=number)
        try:
            with arrow.parquet.ParquetFile(file) as source:
                place = number % PLACES
                for group in range(source.num_row_groups):
                    size = source.metadata.row_group(group).num_rows
                    if place < size:
                        found: Row = source.read_row_group(group).slice(place, 1).to_pylist()[0]
                        return found
                    place -= size
        except (arrow.ArrowException, OSError) as error:
            raise InputError(file, "must be a whole part", got=type(error).__name__) from error
        raise InputError("--row", rule, got=number)

    def connect(self) -> Any:
        """A connection of DuckDB with the table as the view ``frames``; it reads nothing but the table.

        Raises:
            InputError: without DuckDB.
        """
        try:
            import duckdb
        except ImportError as error:
            raise InputError("archive", "needs DuckDB", fix="pip install 'monai-lesion[archive]'") from error
        connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        files = [str(file) for file in sorted((self.output / FOLDER).glob("*/part-*.parquet"))]
        connection.read_parquet(files, hive_partitioning=False).create_view(VIEW)
        connection.execute("SET allowed_directories = ?", [[str(self.output / FOLDER)]])
        connection.execute("SET enable_external_access = false")
        return connection

    def select(self, where: str = "", rows: Sequence[int] = ()) -> Iterator[Row]:
        """Give rows in order; a thousand are in memory.

        Args:
            where: condition in SQL on the columns; empty for all.
            rows: numbers of rows; with ``where``, those that fit both.

        Raises:
            InputError: for a condition that is none.
        """
        import duckdb

        conditions = [f"({where})"] if where.strip() else []
        if rows:
            conditions.append(f"row IN ({', '.join(str(int(each)) for each in rows)})")
        text = f"SELECT {', '.join(map(quoted, NAMES))} FROM {VIEW}"
        text += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        try:
            found = self.connect().execute(f"{text} ORDER BY row")
            while batch := found.fetchmany(AT_A_TIME):
                yield from (dict(zip(NAMES, each, strict=True)) for each in batch)
        except duckdb.Error as error:
            fix = "For example: decision = 'lesion' AND long_axis_mm > 20"
            got = str(error).splitlines()[0]
            raise InputError("--where", "must be a condition in SQL on the columns", got=got, fix=fix) from error


def quoted(name: str) -> str:
    """A column's name as SQL takes it, though it may be a word of SQL."""
    return f'"{name}"'
