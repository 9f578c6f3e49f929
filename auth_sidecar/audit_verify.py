"""Proof that an audit log is complete and unaltered: every seal, every link, and what Prometheus has seen of it.

The files alone show changed, inserted, reordered and missing records; a log whose end was cut off, or that was written
anew by somebody who has the key, contradicts the length and head that Prometheus scraped at the time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from auth_sidecar import audit_chain
from auth_sidecar.audit_chain import GENESIS, Link, Record, Sealer

MAX_PROBLEMS = 100
"""Problems that are listed; more are only counted."""


class Problem(NamedTuple):
    """What is wrong, and where: file, and number of the record from which on it is."""

    file: str
    record: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}: record {self.record}: {self.message}"


class Witness(NamedTuple):
    """What Prometheus scraped: at that time the chain had this length and head."""

    timestamp: float
    length: int
    head_number: int


@dataclass
class Walk:
    """A way along a chain, which may be continued when more has been written."""

    sealers: Sequence[Sealer]
    witnesses: Mapping[int, set[int]] = field(default_factory=dict)
    """Head numbers by length."""
    link: Link = field(default_factory=Link)
    verified: int = 0
    """Records found whole."""
    problems: list[Problem] = field(default_factory=list)
    starts_after: Link | None = None
    """Where the chain stood before the oldest record that is still there."""
    _expired: dict[int, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong so far."""
        return not self.problems

    def take(self, file: Path, line: bytes) -> None:
        """Look at the next line."""
        expected = self.link.length + 1
        record = audit_chain.open_record(self.sealers, line)
        if record is None:
            self._wrong(file, expected, "its seal does not fit: the record was altered, or the key is another")
            self.link = Link(expected, line[-66:-2].decode("ascii", "replace"))
            return
        if self.starts_after is None:
            self.starts_after = self.link = Link(record.number - 1, record.previous)
            expected = record.number
        if record.number != expected:
            self._wrong(file, expected, f"record {record.number} stands in its place")
        elif record.previous != self.link.head:
            self._wrong(file, expected, "it does not follow the record before it")
        else:
            self.verified += 1
        self._witness(file, record)
        self._note_expired(record)
        self.link = Link(record.number, record.seal)

    def finish(self) -> None:
        """Check what only shows at the end: how the log begins, and that nothing which was scraped is missing."""
        start = self.starts_after or Link()
        is_accounted = self._expired.get(start.length) == start.head if start.length else start.head == GENESIS
        if not is_accounted:
            self._wrong(Path(), start.length + 1, "the log begins here, and no record tells that older ones expired")
        longest = max(self.witnesses, default=0)
        if longest > self.link.length:
            self._wrong(Path(), longest, f"Prometheus has seen it, the log ends with record {self.link.length}")

    def _witness(self, file: Path, record: Record) -> None:
        seen = self.witnesses.get(record.number)
        if seen and seen != {Link(record.number, record.seal).head_number}:
            self._wrong(file, record.number, "Prometheus has seen another record here")

    def _note_expired(self, record: Record) -> None:
        if record.fields.get("action") == "segment_expired" and record.fields.get("event") == "admin":
            self._expired[record.fields.get("last_record", 0)] = str(record.fields.get("last_mac"))

    def _wrong(self, file: Path, record: int, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(file.name or "log", record, message))


def verify(folder: Path, sealers: Sequence[Sealer], witnesses: Sequence[Witness] = ()) -> Walk:
    """Walk a whole log; a last line without its end is still being written, or torn by a crash, and does not count."""
    by_length: dict[int, set[int]] = {}
    for witness in witnesses:
        by_length.setdefault(witness.length, set()).add(witness.head_number)
    walk = Walk(sealers, by_length)
    for file, line in complete_lines(folder):
        walk.take(file, line)
    walk.finish()
    return walk


def complete_lines(folder: Path, after: tuple[str, int] = ("", 0)) -> Iterator[tuple[Path, bytes]]:
    """Yield the lines of all segments without their ends, from an offset in a named segment on."""
    for segment in audit_chain.segments(folder):
        if segment.name < after[0]:
            continue
        with segment.open("rb") as file:
            file.seek(after[1] if segment.name == after[0] else 0)
            for line in file:
                if line.endswith(b"\n"):
                    yield segment, line[:-1]
