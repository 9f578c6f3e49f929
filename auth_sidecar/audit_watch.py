"""The background verifier: walks each chain while it grows, and again from its beginning at longer intervals."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from auth_sidecar import audit_chain
from auth_sidecar.audit_chain import MAIN, Sealer
from auth_sidecar.audit_verify import Walk
from auth_sidecar.encryption import KeyRing
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

SLICE_RECORDS = 500
"""Records looked at before others get their turn."""


@dataclass
class Place:
    """How far a chain was read: a segment, and what of it; another inode means that it was sealed with other keys."""

    segment: str = ""
    inode: int = 0
    offset: int = 0
    lines: int = 0


class AuditWatch:
    """Feeds `mcp_audit_verified_length` and `mcp_audit_chain_broken` of one chain; of one at rest also its length."""

    def __init__(
        self, folder: Path, sealers: Sequence[Sealer], instruments: Instruments, *, whole_every: float,
        chain: str = MAIN, ring: KeyRing | None = None, is_at_rest: bool = False,
    ) -> None:  # fmt: skip
        """Take the seconds between two looks at everything; a chain at rest has no writer that tells its length."""
        self._folder = audit_chain.chain_folder(folder, chain)
        self._sealers = sealers
        self._whole_every = whole_every
        self._ring = ring
        self._is_at_rest = is_at_rest
        self._began = float("-inf")
        self._walk = Walk(sealers, chain, ring=ring)
        self._place = Place()
        self._verified = instruments.child("mcp_audit_verified_length", chain)
        self._broken = instruments.child("mcp_audit_chain_broken", chain)
        self._length = instruments.child("mcp_audit_chain_length", chain)
        self._head = instruments.child("mcp_audit_chain_head", chain)

    async def look(self) -> None:
        """Walk what has been written since the last look, or everything when that is due."""
        if time.monotonic() - self._began >= self._whole_every:
            self._began = time.monotonic()
            self._walk, self._place = Walk(self._sealers, self._walk.chain, ring=self._ring), Place()
        known = len(self._walk.problems)
        for count, (file, line) in enumerate(self._fresh()):
            self._walk.take(file, line)
            if count % SLICE_RECORDS == SLICE_RECORDS - 1:
                await asyncio.sleep(0)
        for problem in self._walk.problems[known:]:
            logger.error("the audit chain is broken", extra={"problem": str(problem)})
        self._verified.set(self._walk.link.length if self._walk.is_whole else self._walk.verified)
        if self._walk.problems:
            self._broken.set(1)
        if self._is_at_rest:
            self._length.set(self._walk.link.length)
            self._head.set(self._walk.link.head_number)

    def _fresh(self) -> Iterator[tuple[Path, bytes]]:
        """Yield the complete lines after the place reached, and move it on."""
        for segment in audit_chain.segments(self._folder):
            if segment.name < self._place.segment:
                continue
            with segment.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if segment.name != self._place.segment:
                    self._place = Place(segment.name, inode)
                elif inode != self._place.inode:
                    self._place.inode, self._place.offset = inode, sum(len(file.readline()) for _ in self._lines())
                file.seek(self._place.offset)
                for line in file:
                    if line.endswith(b"\n"):
                        self._place.offset += len(line)
                        self._place.lines += 1
                        yield segment, line[:-1]

    def _lines(self) -> range:
        return range(self._place.lines)


async def watch(of: Callable[[str], AuditWatch], names: Callable[[], Iterable[str]], every: float) -> None:
    """Look at the chains of these names, which may become more, until cancelled."""
    watches: dict[str, AuditWatch] = {}
    while True:
        for name in names():
            if name not in watches:
                watches[name] = of(name)
            try:
                await watches[name].look()
            except OSError as error:
                logger.error("the audit log cannot be verified", extra={"problem": str(error), "chain": name})
        await asyncio.sleep(every)
