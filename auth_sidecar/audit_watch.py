"""The background verifier: walks the log while it grows, and again from its beginning at longer intervals."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from auth_sidecar import audit_verify
from auth_sidecar.audit_chain import Sealer
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

SLICE_RECORDS = 500
"""Records looked at before others get their turn."""


class AuditWatch:
    """Feeds `mcp_audit_verified_length` and `mcp_audit_chain_broken`."""

    def __init__(
        self, folder: Path, sealers: Sequence[Sealer], instruments: Instruments, *, every: float, whole_every: float
    ) -> None:
        """Take the seconds between two looks, and between two looks at everything."""
        self._folder = folder
        self._sealers = sealers
        self._every = every
        self._whole_every = whole_every
        self._walk = audit_verify.Walk(sealers)
        self._place = ("", 0)
        self._verified = instruments.gauge("mcp_audit_verified_length")
        self._broken = instruments.gauge("mcp_audit_chain_broken")

    async def run(self) -> None:
        """Look until cancelled."""
        began = float("-inf")
        while True:
            if time.monotonic() - began >= self._whole_every:
                began = time.monotonic()
                self._walk, self._place = audit_verify.Walk(self._sealers), ("", 0)
            try:
                await self.look()
            except OSError as error:
                logger.error("the audit log cannot be verified", extra={"error": str(error)})
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Walk what has been written since the last look."""
        known = len(self._walk.problems)
        for count, (file, line) in enumerate(audit_verify.complete_lines(self._folder, self._place)):
            start = self._place[1] if file.name == self._place[0] else 0
            self._place = (file.name, start + len(line) + 1)
            self._walk.take(file, line)
            if count % SLICE_RECORDS == SLICE_RECORDS - 1:
                await asyncio.sleep(0)
        for problem in self._walk.problems[known:]:
            logger.error("the audit chain is broken", extra={"problem": str(problem)})
        self._verified.set(self._walk.link.length if self._walk.is_whole else self._walk.verified)
        if self._walk.problems:
            self._broken.set(1)
