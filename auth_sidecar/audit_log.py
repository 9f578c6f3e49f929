"""The one writer of an audit chain: records of a loop tick are sealed and written together before anybody is answered.

`write` hands records to the operating system before the answer (survives the end of this process at any point);
`fsync` waits for the disk as well (survives a power cut). A torn last line is cut off at the next start. One process
holds the folder's lock.
"""

import asyncio
import datetime
import fcntl
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from auth_sidecar import audit_chain
from auth_sidecar.audit_chain import Link, Sealer
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent

logger = logging.getLogger(__name__)

Done = Callable[[bool], None]
"""Told, once, whether the record is in the log."""


class Durability(StrEnum):
    """What an answer waits for."""

    WRITE = "write"
    FSYNC = "fsync"


class Rotation(NamedTuple):
    """When a segment ends and how long ended ones are kept."""

    max_bytes: int = 64 << 20
    max_age_seconds: float = 86400.0
    retention_seconds: float = 365 * 86400.0


_Pending = tuple[AuditEvent, bytes, Done]


class AuditLog:
    """Appends records to the newest segment of a folder; `open()` before use, `close()` after."""

    def __init__(
        self,
        folder: Path,
        keys: Sequence[bytes],
        instruments: Instruments,
        *,
        durability: Durability = Durability.WRITE,
        rotation: Rotation = Rotation(),  # noqa: B008 - immutable
        clock: Callable[[], float],
        chain: str = audit_chain.MAIN,
    ) -> None:
        """Name the audit folder, the keys, the one in use first, and the chain; nothing is touched before `open()`."""
        self.chain = chain
        self.folder = audit_chain.chain_folder(folder, chain)
        self.link = Link()
        self.sealers = tuple(Sealer(key) for key in keys)
        self._durability = durability
        self._rotation = rotation
        self._clock = clock
        self._pending: list[_Pending] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_scheduled = False
        self._lock = self._file = -1
        self._size = 0
        self._opened_at = 0.0
        self._events = {event: instruments.child("mcp_audit_events_total", event) for event in AuditEvent}
        self._length = instruments.child("mcp_audit_chain_length", chain)
        self._head = instruments.child("mcp_audit_chain_head", chain)
        self._errors = instruments.counter("mcp_audit_write_errors_total")
        self._broken = instruments.child("mcp_audit_chain_broken", chain)

    def open(self) -> None:
        """Lock the folder, recover the end of the chain and start a new segment.

        Raises OSError when the folder cannot be written or another process writes there.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        recovered = recover(self.folder, self.sealers)
        self.link = recovered.link
        self._broken.set(not recovered.is_whole)
        notes = {"torn_bytes": recovered.torn_bytes} if recovered.torn_bytes else {}
        self._start_segment("start" if recovered.is_whole else "chain broken", **notes)
        self._show()

    def submit(self, event: AuditEvent, body: bytes, done: Done) -> None:
        """Add a record (see `audit_chain.fragment`) to the next batch; `done` is called when it is written or not."""
        self._pending.append((event, body, done))
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def append(self, event: AuditEvent, body: bytes) -> bool:
        """Write a record and return whether it is in the log."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(is_written: bool) -> None:
            if not future.done():
                future.set_result(is_written)

        self.submit(event, body, settle)
        return await future

    async def close(self) -> None:
        """Write what is pending, note the end and let go of the folder."""
        if self._file < 0:
            return
        await self.append(AuditEvent.ADMIN, audit_chain.fragment({"event": AuditEvent.ADMIN, "action": "stopped"}))
        os.close(self._file)
        os.close(self._lock)
        self._file = self._lock = -1

    def _flush(self) -> None:
        batch, self._pending = self._pending, []
        self._is_scheduled = False
        if self._durability is Durability.FSYNC:
            self._is_scheduled = True
            self._writing = asyncio.ensure_future(self._flush_in_thread(batch))
            return
        self._settle(batch, self._write(batch))

    async def _flush_in_thread(self, batch: list[_Pending]) -> None:
        link = await asyncio.to_thread(self._write, batch)
        self._is_scheduled = False
        if self._pending:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)
        self._settle(batch, link)

    def _write(self, batch: list[_Pending]) -> Link | None:
        """Seal a batch, write it whole or not at all, and return where the chain stands then."""
        try:
            self._rotate_if_due()
            lines, link = self.sealers[0].seal(self.link, self._timestamp(), [body for _, body, _ in batch])
            self._append(b"".join(lines))
        except OSError as error:
            logger.error("audit records could not be written", extra={"problem": str(error), "records": len(batch)})
            return None
        except Exception:
            # Whoever waits for these records must be told, or its requests would hang for ever.
            logger.exception("audit records could not be made", extra={"records": len(batch)})
            return None
        return link

    def _append(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if self._durability is Durability.FSYNC:
                os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _settle(self, batch: list[_Pending], link: Link | None) -> None:
        if link is None:
            self._errors.inc(len(batch))
        else:
            self.link = link
            for event, count in Counter([event for event, _, _ in batch]).items():
                self._events[event].inc(count)
        self._show()
        for _, _, done in batch:
            done(link is not None)

    def _show(self) -> None:
        """Tell the witness where the chain stands; never from the writing thread, so that both numbers go together."""
        self._length.set(self.link.length)
        self._head.set(self.link.head_number)

    def _rotate_if_due(self) -> None:
        is_full = self._size >= self._rotation.max_bytes
        if is_full or self._clock() - self._opened_at >= self._rotation.max_age_seconds:
            self._start_segment("size" if is_full else "age")

    def _start_segment(self, reason: str, **notes: int) -> None:
        path = audit_chain.segment_path(self.folder, self.link.length + 1)
        fresh = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._opened_at = fresh, 0, self._clock()
        self._note("segment_started", chain=self.chain, reason=reason, key_id=self.sealers[0].key_id, **notes)
        self._drop_expired(path)

    def _drop_expired(self, current: Path) -> None:
        """Delete segments beyond their retention; what goes, and its last seal, becomes a record first."""
        limit = self._clock() - self._rotation.retention_seconds
        kept = audit_chain.segments(self.folder)
        for segment, following in itertools.pairwise(kept):
            if segment == current or segment.stat().st_mtime > limit:
                return
            last = audit_chain.first_number(following) - 1
            with segment.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return  # it is being sealed with another key; the next segment's start looks again
                self._note("segment_expired", segment=segment.name, last_record=last, last_mac=_last_seal(segment))
                segment.unlink()

    def _note(self, action: str, **fields: str | int) -> None:
        """Write a record about the log itself, at once."""
        body = audit_chain.fragment({"event": AuditEvent.ADMIN, "action": action, **fields})
        lines, link = self.sealers[0].seal(self.link, self._timestamp(), [body])
        self._append(lines[0])
        self._events[AuditEvent.ADMIN].inc()
        self.link = link

    def _timestamp(self) -> str:
        moment = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Recovered(NamedTuple):
    """The end of a chain found on disk; not whole when its last record does not verify."""

    link: Link = Link()
    is_whole: bool = True
    torn_bytes: int = 0


def recover(folder: Path, sealers: Sequence[Sealer]) -> Recovered:
    """Find where the chain of a folder ends; a last line that was cut short by a crash is removed."""
    torn = 0
    for path in reversed(audit_chain.segments(folder)):
        torn += _cut_torn_line(path)
        line = _last_line(path)
        if line:
            record = audit_chain.open_record(sealers, line)
            if record:
                return Recovered(Link(record.number, record.seal), True, torn)
            return Recovered(Link(_number_after(folder, path), audit_chain.GENESIS), False, torn)
        path.unlink()
    return Recovered(torn_bytes=torn)


def _cut_torn_line(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb+") as file:
        keep = _after_last_newline(file.fileno(), size)
        file.truncate(keep)
    return size - keep


def _after_last_newline(file: int, end: int) -> int:
    """Return the offset just after the last end of line before `end`, 0 when there is none."""
    while end > 0:
        start = max(0, end - 65536)
        position = os.pread(file, end - start, start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0


def _last_line(path: Path) -> bytes:
    size = path.stat().st_size
    if not size:
        return b""
    with path.open("rb") as file:
        start = _after_last_newline(file.fileno(), size - 1)
        return os.pread(file.fileno(), size - 1 - start, start)


def _last_seal(path: Path) -> str:
    return audit_chain.parts(_last_line(path)).seal.decode("ascii", "replace")


def _number_after(folder: Path, path: Path) -> int:
    """Return a record number beyond everything in the folder, for a chain whose end does not verify."""
    return audit_chain.first_number(path) + sum(1 for _ in audit_chain.lines(path))
