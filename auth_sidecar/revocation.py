"""Rights taken back before they expire: by token id, by subject, or everything issued before a moment; failing closed.

Revocations live in a JSON file that an operator may edit and the admin port appends to. While it cannot be read
nobody is let in: what it says is unknown, and a cache must not outlive a right.
"""

import asyncio
import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pydantic

from auth_sidecar.principal import Principal
from contract.config import Model
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0


class Revocation(Model):
    """One revocation; every field that is given must fit the token. `until` drops it when no token can fit any more."""

    token_id: str | None = None
    subject: str | None = None
    issuer: str | None = None
    issued_before: float | None = None
    until: float | None = None
    note: str = ""

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> "Revocation":
        if self.token_id is None and self.subject is None and self.issued_before is None:
            raise ValueError("a revocation of nothing; give token_id, subject or issued_before")
        return self

    def covers(self, principal: Principal) -> bool:
        """Whether the principal's credential is revoked by this; one without time of issue counts as issued before."""
        return (
            self.token_id in (None, principal.token_id)
            and self.subject in (None, principal.subject)
            and self.issuer in (None, principal.issuer)
            and (self.issued_before is None or principal.issued_at < self.issued_before)
        )


class Revocations:
    """The revocations in force; `on_change` is called when they have become others."""

    def __init__(self, file: Path | None, instruments: Instruments, on_change: Callable[[], None]) -> None:
        """Take the file, None for none; it need not exist yet."""
        self._file = file
        self._on_change = on_change
        self._stamp: tuple[int, int] | None = None
        self._all: tuple[Revocation, ...] = ()
        self._by_token: dict[str, tuple[Revocation, ...]] = {}
        self._by_subject: dict[str, tuple[Revocation, ...]] = {}
        self._general: tuple[Revocation, ...] = ()
        self._count = instruments.gauge("mcp_auth_tokens_revoked")
        self.is_readable = True
        """False while the file cannot be read; nobody is let in then."""

    def is_revoked(self, principal: Principal) -> bool:
        """Whether a verified principal's credential has been taken back."""
        if not self._all:
            return False
        for candidates in (
            self._by_token.get(principal.token_id, ()),
            self._by_subject.get(principal.subject, ()),
            self._general,
        ):
            if any(revocation.covers(principal) for revocation in candidates):
                return True
        return False

    def listed(self) -> list[dict[str, Any]]:
        """Return the revocations in force as they stand in the file."""
        return [revocation.model_dump(exclude_defaults=True) for revocation in self._all]

    def check(self) -> None:
        """Read the file if it has changed."""
        if self._file is None:
            return
        try:
            stat = self._file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp and self.is_readable:
                return
            entries = _parse(self._file.read_bytes())
        except FileNotFoundError:
            stamp, entries = (0, 0), []
            if self._stamp not in (None, stamp):
                self._fail("the revocation file has gone")
                return
        except (OSError, ValueError, RecursionError) as error:
            self._fail(f"the revocation file cannot be read: {type(error).__name__}")
            return
        changed = stamp != self._stamp or not self.is_readable
        self._stamp, self.is_readable = stamp, True
        if changed:
            self._use(entries)

    def add(self, revocation: Revocation) -> None:
        """Put a revocation into force, and into the file when there is one; raises OSError when that fails."""
        self.check()  # what an operator has just written there must not be overwritten
        if not self.is_readable:
            raise OSError(errno.EIO, "the revocation file cannot be read")
        entries = [*self._all, revocation]
        if self._file is not None:
            _write(self._file, entries)
            stat = self._file.stat()
            self._stamp = (stat.st_mtime_ns, stat.st_size)
        self._use(entries)

    async def watch(self) -> None:
        """Read the file whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.check()

    def _fail(self, why: str) -> None:
        if self.is_readable:
            logger.error(why + "; nobody is let in until it can be read")
            self._on_change()
        self.is_readable = False

    def _use(self, entries: Iterable[Revocation]) -> None:
        now = time.time()
        self._all = tuple(entry for entry in entries if entry.until is None or entry.until > now)
        self._by_token, self._by_subject, general = {}, {}, []
        for entry in self._all:
            if entry.token_id is not None:
                self._by_token[entry.token_id] = (*self._by_token.get(entry.token_id, ()), entry)
            elif entry.subject is not None:
                self._by_subject[entry.subject] = (*self._by_subject.get(entry.subject, ()), entry)
            else:
                general.append(entry)
        self._general = tuple(general)
        self._count.set(len(self._all))
        self._on_change()


def _parse(text: bytes) -> list[Revocation]:
    document = json.loads(text or b"[]")
    if not isinstance(document, list):
        raise ValueError("not a list of revocations")
    return [Revocation.model_validate(entry) for entry in document]


def _write(file: Path, entries: Iterable[Revocation]) -> None:
    text = json.dumps([entry.model_dump(exclude_defaults=True) for entry in entries], indent=1) + "\n"
    temporary = file.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)
