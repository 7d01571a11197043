"""What the service remembers: which result went where, and what an archive said of it. One SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError

# A result waits, is tried, is stored and waits for the archive's commitment, is kept after reports that never came; it
# ends done, failed (set aside for a person) or dropped (kept long enough).
WAITING, TRYING, STORED, KEPT, DONE, FAILED, DROPPED = (
    "waiting",
    "trying",
    "stored",
    "kept",
    "done",
    "failed",
    "dropped",
)
SENT = (STORED, KEPT, DONE, DROPPED)
OPEN = (WAITING, TRYING, STORED)
SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    uid TEXT, destination TEXT, format TEXT, sop_class TEXT, study TEXT, series TEXT, source TEXT, frame INTEGER,
    engine TEXT, trace TEXT, replaces TEXT, patient TEXT, state TEXT, queued REAL, changed REAL,
    asked INTEGER DEFAULT 0, asked_at REAL DEFAULT 0, returned INTEGER DEFAULT 0, audited INTEGER DEFAULT 0,
    PRIMARY KEY (uid, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_source ON results (source, frame);
CREATE INDEX IF NOT EXISTS by_state ON results (destination, state);
CREATE INDEX IF NOT EXISTS by_study ON results (study, destination, state);
CREATE INDEX IF NOT EXISTS unaudited ON results (study, destination) WHERE audited = 0;
CREATE INDEX IF NOT EXISTS by_age ON results (changed);
CREATE TABLE IF NOT EXISTS transactions (uid TEXT PRIMARY KEY, destination TEXT, at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fetched (poller TEXT, uid TEXT, study TEXT, seen REAL, PRIMARY KEY (poller, uid))
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Record:
    """A result for a destination.

    Attributes:
        uid: its SOP Instance UID.
        destination: where it goes.
        format: ``dicom-seg``, ``dicom-sr`` or ``sc``.
        sop_class: its SOP Class UID.
        study: its Study Instance UID.
        series: its Series Instance UID.
        source: SOP Instance UID of the image it was made of.
        frame: frame of the image, counted from 0; -1 for one that has a single frame.
        engine: what made it: network, weights, version and settings, shortened.
        trace: what follows the image through the log.
        replaces: earlier results that those of its frame replace, each ``uid:series:class``,
            joined by spaces.
        patient: the patient's ID, only where audit messages name it.
    """

    uid: str
    destination: str
    format: str
    sop_class: str
    study: str
    series: str
    source: str = ""
    frame: int = -1
    engine: str = ""
    trace: str = ""
    replaces: str = ""
    patient: str = ""


COLUMNS = tuple(Record.__dataclass_fields__)


class Register:
    """The register of a queue.

    Each call is one transaction that is on the disk when it returns.

    Args:
        file: the SQLite file.
        clock: seconds since 1970, for tests.

    Raises:
        InputError: when the file is damaged or of another program.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._lock, self._clock = threading.RLock(), clock
        try:
            self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            fix = "Move it away; results are then asked for at the archive before they are sent again"
            raise InputError(file, "must be the register of a queue", got=error, fix=fix) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def now(self) -> float:
        """The time of its clock."""
        return self._clock()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    # What becomes of a result

    def add(self, record: Record) -> str:
        """Enter a result unless it is there; return its state, which for a failed one begins anew."""
        now = self._clock()
        values = [getattr(record, name) for name in COLUMNS]
        marks = ", ".join("?" * (len(COLUMNS) + 3))
        with self._changing() as connection:
            connection.execute(
                f"INSERT OR IGNORE INTO results ({', '.join(COLUMNS)}, state, queued, changed) VALUES ({marks})",
                [*values, WAITING, now, now],
            )
            change = "UPDATE results SET state = ?, changed = ? WHERE uid = ? AND destination = ? AND state = ?"
            connection.execute(change, (WAITING, now, record.uid, record.destination, FAILED))
            return self.state(record.uid, record.destination)

    def state(self, uid: str, destination: str) -> str:
        """The state of a result; empty when it is not known."""
        rows = self._rows("SELECT state FROM results WHERE uid = ? AND destination = ?", uid, destination)
        return str(rows[0]["state"]) if rows else ""

    def set(self, uid: str, destination: str, state: str) -> None:
        """Change the state of a result."""
        with self._changing() as connection:
            change = "UPDATE results SET state = ?, changed = ? WHERE uid = ? AND destination = ?"
            connection.execute(change, (state, self._clock(), uid, destination))

    def give_back(self, uid: str, destination: str) -> int:
        """A stored result that the archive does not keep waits again; return how often that was."""
        with self._changing() as connection:
            connection.execute(
                "UPDATE results SET state = ?, changed = ?, asked = 0, asked_at = 0, returned = returned + 1 "
                "WHERE uid = ? AND destination = ?",
                (WAITING, self._clock(), uid, destination),
            )
        rows = self._rows("SELECT returned FROM results WHERE uid = ? AND destination = ?", uid, destination)
        return int(rows[0]["returned"]) if rows else 0

    def get(self, uid: str, destination: str) -> dict[str, Any] | None:
        """Everything about a result."""
        rows = self._rows("SELECT * FROM results WHERE uid = ? AND destination = ?", uid, destination)
        return dict(rows[0]) if rows else None

    def in_state(self, destination: str, *states: str) -> list[dict[str, Any]]:
        """The results of a destination in some states, oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM results WHERE destination = ? AND state IN ({marks}) ORDER BY queued, uid"
        return [dict(row) for row in self._rows(query, destination, *states)]

    def replaced(self, source: str, frame: int, engine: str, series: Sequence[str] = ()) -> list[str]:
        """Results of other engines that this one's replace, as ``uid:series:class``, oldest first.

        Those in the series of the new ones are of the same engine, whatever an older queue knew of it.

        Once a result of the engine is known, what that one replaces counts: the same is made again every time.
        """
        own = self._rows(
            "SELECT replaces FROM results WHERE source = ? AND frame = ? AND engine = ? ORDER BY queued LIMIT 1",
            source,
            frame,
            engine,
        )
        if own:
            return str(own[0]["replaces"]).split()
        query = (
            "SELECT uid, series, sop_class FROM results WHERE source = ? AND frame = ? AND engine NOT IN (?, '') "
            f"AND series NOT IN ({', '.join('?' * len(series))}) "
            "AND state != ? GROUP BY uid, series, sop_class ORDER BY MIN(queued), uid"
        )
        rows = self._rows(query, source, frame, engine, *series, FAILED)
        return [f"{row['uid']}:{row['series']}:{row['sop_class']}" for row in rows]

    # Commitment

    def ask(self, transaction: str, destination: str, uids: Iterable[str]) -> None:
        """Note that an archive is asked to commit itself to results."""
        now = self._clock()
        with self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?)", (transaction, destination, now))
            change = "UPDATE results SET asked = asked + 1, asked_at = ? WHERE uid = ? AND destination = ?"
            connection.executemany(change, [(now, uid, destination) for uid in uids])

    def asked(self, transaction: str) -> str:
        """The destination that a transaction is with; empty for one that is not ours."""
        rows = self._rows("SELECT destination FROM transactions WHERE uid = ?", transaction)
        return str(rows[0]["destination"]) if rows else ""

    # Studies

    def finished(self, quiet: float = 0.0) -> list[tuple[str, str]]:
        """Studies and destinations that the audit trail has to name: nothing is open, or changed for some seconds."""
        query = (
            "SELECT study, destination FROM results WHERE audited = 0 GROUP BY study, destination "
            "HAVING SUM(state IN (?, ?, ?)) = 0 AND MAX(changed) <= ? ORDER BY MIN(queued)"
        )
        rows = self._rows(query, *OPEN, self._clock() - quiet)
        return [(str(row["study"]), str(row["destination"])) for row in rows]

    def unaudited(self, study: str, destination: str) -> list[dict[str, Any]]:
        """The results of a study that the audit trail does not name."""
        query = "SELECT * FROM results WHERE study = ? AND destination = ? AND audited = 0 ORDER BY queued, uid"
        return [dict(row) for row in self._rows(query, study, destination)]

    def audit(self, study: str, destination: str) -> None:
        """Note that the audit trail names the results of a study, and forget the patient."""
        with self._changing() as connection:
            change = "UPDATE results SET audited = 1, patient = '' WHERE study = ? AND destination = ? AND audited = 0"
            connection.execute(change, (study, destination))

    # Polling

    def was_fetched(self, poller: str, uid: str) -> bool:
        """Whether a poller fetched an image."""
        return bool(self._rows("SELECT 1 FROM fetched WHERE poller = ? AND uid = ?", poller, uid))

    def fetch(self, poller: str, study: str, uids: Iterable[str]) -> None:
        """Note images that a poller fetched or need not fetch, and that it saw them now."""
        now = self._clock()
        with self._changing() as connection:
            insert = "INSERT OR REPLACE INTO fetched VALUES (?, ?, ?, ?)"
            connection.executemany(insert, [(poller, uid, study, now) for uid in uids])

    # Growing old

    @property
    def pruned(self) -> bool:
        """Whether results that were sent may be unknown here."""
        return self.fact("pruned") == "yes"

    def fact(self, name: str) -> str:
        """Something noted about the queue; empty when it is not."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0]["value"]) if rows else ""

    def note(self, name: str, value: str) -> None:
        """Note something about the queue."""
        with self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def prune(self, days: float, entries: int) -> int:
        """Forget the oldest results that are done, and say from now on that some are forgotten.

        One that names what it replaces is remembered: it could not be made again with the same identifier.

        Args:
            days: how long they are remembered.
            entries: how many are, at most.

        Returns:
            How many were forgotten.
        """
        now = self._clock()
        over = "state IN (?, ?) AND audited = 1 AND replaces = ''"
        old = (DONE, DROPPED)
        with self._changing() as connection:
            count = connection.execute("SELECT COUNT(*) FROM results").fetchone()[0]
            surplus = max(0, count - entries)
            query = (
                f"SELECT uid, destination FROM results WHERE {over} AND (changed < ? OR (uid, destination) IN "
                f"(SELECT uid, destination FROM results WHERE {over} ORDER BY changed, uid LIMIT ?))"
            )
            gone = connection.execute(query, (*old, now - days * 86400, *old, surplus)).fetchall()
            if gone:
                connection.execute("INSERT OR REPLACE INTO facts VALUES ('pruned', 'yes')")
            connection.executemany(
                "DELETE FROM results WHERE uid = ? AND destination = ?", [tuple(row) for row in gone]
            )
            connection.execute("DELETE FROM fetched WHERE seen < ?", (now - days * 86400,))
            connection.execute("DELETE FROM transactions WHERE at < ?", (now - days * 86400,))
        return len(gone)

    def counts(self) -> dict[tuple[str, str], tuple[int, float]]:
        """Number and earliest time in the queue of the results in each state that ends, by destination."""
        query = (
            "SELECT destination, state, COUNT(*) AS n, MIN(queued) AS first FROM results WHERE state IN (?, ?, ?, ?) "
        )
        rows = self._rows(query + "GROUP BY destination, state", *OPEN, KEPT)
        return {(row["destination"], row["state"]): (row["n"], row["first"]) for row in rows}
