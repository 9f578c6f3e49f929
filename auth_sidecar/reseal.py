"""Moves sealed fields of the audit log from old encryption keys to the newest, so that old ones can be retired.

Safe beside a running sidecar and against its own death: only segments that are written no more are touched, each is
replaced in one step by a file that was on the disk before, and that this will happen is a record of the chain
`maintenance` first. Records and seals stay as they are, so that the log verifies before, in between and afterwards.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson

from auth_sidecar import audit_chain
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_log import AuditLog
from auth_sidecar.encryption import KeyRing, SealError
from contract.vocabulary import AuditEvent

CHAIN = "maintenance"
"""Chain of what is done to the log from outside the sidecar."""
NEW = ".new"
"""Ending of a segment that has not yet taken its place."""


class ResealError(Exception):
    """A segment cannot be moved; the message says where and why, and the segment is as it was."""


@dataclass
class Report:
    """What was done, and what old keys are still needed for; all counts are of records by key id."""

    moved: Counter[str] = field(default_factory=Counter)
    first_version: Counter[str] = field(default_factory=Counter)
    """Their seal covers the package itself, so that it cannot be exchanged."""
    being_written: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def needed(self, ring: KeyRing) -> Counter[str]:
        """Return how many records still need keys that are not the newest."""
        left = self.first_version + self.being_written
        return Counter({key_id: count for key_id, count in left.items() if not ring.is_in_use(key_id)})


class Reseal:
    """One run over an audit folder."""

    def __init__(self, folder: Path, sealers: Sequence[Sealer], ring: KeyRing, log: AuditLog) -> None:
        """Take the open log of the chain `maintenance`, whose lock keeps other runs out."""
        self._folder = folder
        self._sealers = sealers
        self._ring = ring
        self._log = log
        self.report = Report()

    async def run(self) -> Report:
        """Move what can be moved; raises OSError when the disk does not play along."""
        for chain, folder in audit_chain.chains(self._folder).items():
            for left_over in folder.glob(f"{audit_chain.SEGMENT_PATTERN}{NEW}"):
                left_over.unlink()
            segments = audit_chain.segments(folder)
            for segment in segments[:-1]:
                try:
                    await self._move(chain, segment)
                except FileNotFoundError:
                    continue  # expired in between
                except ResealError as error:
                    self.report.problems.append(f"chain {chain}: {segment.name}: {error}")
            for segment in segments[-1:]:
                self._count(segment)
        return self.report

    def _count(self, segment: Path) -> None:
        """Count the packages of a segment that is being written."""
        for line in audit_chain.lines(segment):
            try:
                sealed = audit_chain.read(line).get("sealed")
            except ValueError:
                continue  # still being written, or torn by a crash
            if sealed:
                self.report.being_written[str(sealed.get("key_id"))] += 1

    async def _move(self, chain: str, segment: Path) -> None:
        with segment.open("rb") as file:
            # Whoever expires the segment meanwhile leaves it for later.
            fcntl.flock(file, fcntl.LOCK_EX)
            moved: Counter[str] = Counter()
            lines = [self._resealed(line.rstrip(b"\n"), moved) for line in file]
            if not moved:
                return
            new = segment.with_name(segment.name + NEW)
            _write(new, lines, like=file)
            fields = {"event": AuditEvent.ADMIN, "action": "segment_resealed", "chain": chain, "segment": segment.name}
            body = audit_chain.fragment({**fields, "records_by_old_key": dict(moved)})
            if not _is_at(segment, file) or not await self._log.append(AuditEvent.ADMIN, body):
                new.unlink()
                raise ResealError("it cannot be recorded, or the segment is another one by now")
            new.replace(segment)
            _sync_folder(segment.parent)
        self.report.moved += moved

    def _resealed(self, line: bytes, moved: Counter[str]) -> bytes:
        """Return a line with its package under the newest key; raises ResealError for one that does not verify."""
        record = audit_chain.open_record(self._sealers, line)
        if record is None:
            raise ResealError("a seal does not fit; run audit verify")
        package, digest = record.fields.get("sealed", {}), record.fields.get("sealed_digest")
        if digest is None:
            self.report.first_version.update([str(package["key_id"])] if package else [])
            return line
        if not self._ring.holds(package, digest):
            raise ResealError(f"the sealed fields of record {record.number} were altered, or their key is not at hand")
        if self._ring.is_newest(package):
            return line
        taken = audit_chain.parts(line)
        moved[package["key_id"]] += 1
        try:
            return audit_chain.joined(taken.body, taken.seal, orjson.dumps(self._ring.reencrypt(package)))
        except SealError as error:
            raise ResealError(str(error)) from error


def _is_at(path: Path, file: BinaryIO) -> bool:
    return path.stat().st_ino == os.fstat(file.fileno()).st_ino


def _write(new: Path, lines: Sequence[bytes], like: BinaryIO) -> None:
    """Write a file that is on the disk when this returns, as old as the one it will replace: age decides retention."""
    with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(line + b"\n" for line in lines)
        file.flush()
        before = os.fstat(like.fileno())
        os.utime(file.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
