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
from auth_sidecar.encryption import KeyRing

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
    chain: str
    """The name that its segments must say they are of; those written before they said so are taken as they are."""
    witnesses: Mapping[int, set[int]] = field(default_factory=dict)
    """Head numbers by length."""
    link: Link = field(default_factory=Link)
    verified: int = 0
    """Records found whole."""
    problems: list[Problem] = field(default_factory=list)
    ring: KeyRing | None = None
    """Opens packages, to see whether they hold what their records say."""
    unopened: int = 0
    """Packages whose key is not at hand, so that nobody can say."""
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
            self.link = Link(expected, audit_chain.parts(line).seal.decode("ascii", "replace"))
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
        self._name(file, record)
        self._package(file, record)
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

    def _name(self, file: Path, record: Record) -> None:
        said = record.fields.get("chain", self.chain)
        if record.fields.get("action") == "segment_started" and said != self.chain:
            self._wrong(file, record.number, f"it is a record of chain {said}, put here")

    def _package(self, file: Path, record: Record) -> None:
        """Check what the seal does not cover itself: that the package is there and holds what the digest says."""
        digest = record.fields.get("sealed_digest")
        if digest is None:
            return
        holds = self.ring.holds(record.fields.get("sealed"), digest) if self.ring else None
        if holds is False:
            self._wrong(file, record.number, "its sealed fields were altered")
        self.unopened += holds is None

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


def verify(
    folder: Path, sealers: Sequence[Sealer], witnesses: Sequence[Witness] = (), ring: KeyRing | None = None
) -> Walk:
    """Walk a whole log; a last line without its end is still being written, or torn by a crash, and does not count."""
    by_length: dict[int, set[int]] = {}
    for witness in witnesses:
        by_length.setdefault(witness.length, set()).add(witness.head_number)
    walk = Walk(sealers, audit_chain.chain_of(folder), by_length, ring=ring)
    for file, line in complete_lines(folder):
        walk.take(file, line)
    walk.finish()
    return walk


def complete_lines(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the lines of all segments of a chain without their ends."""
    for segment in audit_chain.segments(folder):
        with segment.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield segment, line[:-1]
