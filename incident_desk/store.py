"""The incidents on disk: SQLite in WAL mode, so that a kill at any moment loses nothing that was answered for."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from incident_desk.incident import Begun, Incident

PROBE_BYTES = 64 * 1024
_FIRST = """
CREATE TABLE incidents (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  labels TEXT NOT NULL,
  annotations TEXT NOT NULL,
  started REAL NOT NULL,
  fired REAL NOT NULL,
  opened REAL NOT NULL,
  clock REAL NOT NULL,
  is_found INTEGER NOT NULL,
  told TEXT NOT NULL,
  acknowledged REAL,
  acknowledged_by TEXT NOT NULL,
  resolved REAL,
  is_suppressed INTEGER NOT NULL,
  returns INTEGER NOT NULL,
  is_counted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX by_fingerprint ON incidents (fingerprint, id);
CREATE INDEX by_end ON incidents (resolved);
CREATE TABLE stages (
  incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
  stage TEXT NOT NULL,
  channels TEXT NOT NULL,
  at REAL NOT NULL,
  is_live INTEGER NOT NULL,
  PRIMARY KEY (incident, stage, at)
) STRICT;
"""
_SECOND = """
ALTER TABLE incidents ADD COLUMN paused REAL NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN away REAL NOT NULL DEFAULT 0;
ALTER TABLE stages ADD COLUMN waited REAL NOT NULL DEFAULT 0;
UPDATE stages SET waited = max(at - (SELECT clock FROM incidents WHERE id = incident), 0);
CREATE INDEX by_start ON incidents (started, id);
CREATE TABLE measured (
  name TEXT NOT NULL,
  severity TEXT NOT NULL,
  bound REAL NOT NULL,
  count INTEGER NOT NULL,
  seconds REAL NOT NULL,
  PRIMARY KEY (name, severity, bound)
) STRICT;
"""
_STEPS = (_FIRST, _SECOND)
"""What makes a file of each schema one of the next."""
SCHEMA_VERSION = len(_STEPS)
_COLUMNS = (
    "fingerprint", "labels", "annotations", "started", "fired", "opened", "clock", "paused", "away", "is_found", "told",
    "acknowledged", "acknowledged_by", "resolved", "is_suppressed", "returns",
)  # fmt: skip


class Measured(NamedTuple):
    """How often a time was no longer than a bound and longer than the one before, and these times' sum."""

    name: str
    severity: str
    bound: float
    times: int
    seconds: float


class StoreError(Exception):
    """The file cannot be used; the message says why."""


class Store:
    """One database file; used from one thread."""

    def __init__(self, file: Path) -> None:
        """Open or make the file. Raises StoreError."""
        self._name = file.name
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(file, error) from error
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare(file)
        except sqlite3.Error as error:
            self.close()
            raise _unusable(file, error) from error
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of a block or none; on return they are on disk. Raises StoreError."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:  # a full disk can have ended it already
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self._name} cannot be written: {error}") from error
            raise

    def last(self, fingerprint: str) -> Incident | None:
        """Return the newest incident of an alert."""
        found = self._read("WHERE fingerprint = ? ORDER BY id DESC LIMIT 1", fingerprint)
        return found[0] if found else None

    def get(self, identity: int) -> Incident | None:
        """Return one incident."""
        found = self._read("WHERE id = ?", identity)
        return found[0] if found else None

    def open(self) -> list[Incident]:
        """Return the open incidents, oldest first."""
        return self._read("WHERE resolved IS NULL ORDER BY started, id")

    def newest(self, limit: int) -> list[Incident]:
        """Return the incidents that began last, the newest first."""
        return self._read("ORDER BY started DESC, id DESC LIMIT ?", limit)

    def since(self, moment: float) -> list[Incident]:
        """Return the incidents opened since a moment, newest first."""
        return self._read("WHERE opened >= ? ORDER BY id DESC", moment)

    def escalated(self) -> list[Incident]:
        """Return the incidents of which Alertmanager may hold an escalation."""
        return self._read("WHERE id IN (SELECT incident FROM stages WHERE is_live) ORDER BY id")

    def save(self, incident: Incident) -> Incident:
        """Write an incident, its stages excepted; return it with its id."""
        values = _values(incident)
        if incident.id:
            assignments = ", ".join(f"{name} = ?" for name in _COLUMNS)
            self._connection.execute(f"UPDATE incidents SET {assignments} WHERE id = ?", (*values, incident.id))  # noqa: S608
            return incident
        marks = ", ".join("?" for _ in _COLUMNS)
        cursor = self._connection.execute(f"INSERT INTO incidents ({', '.join(_COLUMNS)}) VALUES ({marks})", values)  # noqa: S608
        return replace(incident, id=int(cursor.lastrowid or 0))

    def save_stage(self, incident: Incident, begun: Begun) -> None:
        """Write a stage of an incident."""
        self._connection.execute(
            "INSERT OR REPLACE INTO stages (incident, stage, channels, at, waited, is_live) VALUES (?, ?, ?, ?, ?, ?)",
            (incident.id, begun.stage, _json(begun.channels), begun.at, begun.waited, int(begun.is_live)),
        )

    def measure(self, name: str, severity: str, bound: float, seconds: float) -> None:
        """Count a time that is no longer than a bound."""
        self._connection.execute(
            "INSERT INTO measured VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE"
            " SET count = count + 1, seconds = seconds + excluded.seconds",
            (name, severity, bound, seconds),
        )

    def measured(self) -> list[Measured]:
        """Return every time that was ever counted."""
        try:
            return [Measured(*row) for row in self._connection.execute("SELECT * FROM measured")]
        except sqlite3.Error as error:
            raise StoreError(f"{self._name} cannot be read: {error}") from error

    def take_uncounted(self, resolved_before: float) -> list[Incident]:
        """Return, once, the incidents that ended before a moment: whoever takes them counts them."""
        where = "is_counted = 0 AND resolved <= ?"
        found = self._read(f"WHERE {where} ORDER BY id", resolved_before)
        if found:
            self._connection.execute(f"UPDATE incidents SET is_counted = 1 WHERE {where}", (resolved_before,))  # noqa: S608
        return found

    def forget(self, resolved_before: float) -> None:
        """Remove the incidents that ended before a moment."""
        self._connection.execute("DELETE FROM incidents WHERE resolved < ?", (resolved_before,))

    def try_writing(self, *, much: bool) -> None:
        """Write something that changes nothing; with `much` also what needs space. Raises StoreError."""
        with self.transaction():
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            if much:
                self._connection.execute("DROP TABLE IF EXISTS probe")
                self._connection.execute(f"CREATE TABLE probe AS SELECT zeroblob({PROBE_BYTES}) AS filler")
        if much:
            with self.transaction():
                self._connection.execute("DROP TABLE probe")

    def _read(self, clauses: str, *values: object) -> list[Incident]:
        try:
            rows = self._connection.execute(f"SELECT * FROM incidents {clauses}", values).fetchall()  # noqa: S608 - ours
            stages = self._stages([row["id"] for row in rows])
        except sqlite3.Error as error:
            raise StoreError(f"{self._name} cannot be read: {error}") from error
        return [_incident(row, stages.get(row["id"], ())) for row in rows]

    def _stages(self, identities: Sequence[int]) -> dict[int, list[Begun]]:
        found: dict[int, list[Begun]] = {}
        query = "SELECT * FROM stages WHERE incident IN (SELECT value FROM json_each(?)) ORDER BY at, rowid"
        for row in self._connection.execute(query, (_json(list(identities)),)):
            channels = tuple(orjson.loads(row["channels"]))
            begun = Begun(row["stage"], channels, row["at"], row["waited"], bool(row["is_live"]))
            found.setdefault(row["incident"], []).append(begun)
        return found

    def _prepare(self, file: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(f"{file} was written by a newer release (schema {version}); use that one, or move it away")
        if version < SCHEMA_VERSION:
            steps = "".join(_STEPS[version:])
            self._connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _unusable(file: Path, error: Exception) -> StoreError:
    return StoreError(f"{file} cannot be used: {error}; check the folder's owner, or move the file away")


def _values(incident: Incident) -> tuple[Any, ...]:
    written = {
        "labels": _json(dict(incident.labels)),
        "annotations": _json(dict(incident.annotations)),
        "told": _json(incident.told),
        "is_found": int(incident.is_found),
        "is_suppressed": int(incident.is_suppressed),
    }
    return tuple(written.get(name, getattr(incident, name)) for name in _COLUMNS)


def _incident(row: sqlite3.Row, stages: Iterable[Begun]) -> Incident:
    plain = {name: row[name] for name in ("id", *_COLUMNS)}
    return Incident(
        **{
            **plain,
            "labels": orjson.loads(row["labels"]),
            "annotations": orjson.loads(row["annotations"]),
            "told": tuple(orjson.loads(row["told"])),
            "is_found": bool(row["is_found"]),
            "is_suppressed": bool(row["is_suppressed"]),
            "stages": tuple(stages),
        }
    )
