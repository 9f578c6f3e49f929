"""Rights taken back before they expire: by token id, by subject, or everything issued before a moment; failing closed.

Revocations live in a JSON file that an operator may edit and the admin port appends to. While it cannot be read, or is
not there, nobody is let in: what it says is unknown, and a cache must not outlive a right. An empty list is `[]`; an
empty file is one that was torn.
"""

import asyncio
import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import pydantic

from auth_sidecar import strict_json
from auth_sidecar.principal import Principal
from contract.config import Model
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0

Moment = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False)]
"""Seconds since the epoch."""


class Revocation(Model):
    """One revocation; every field that is given must fit the token. `until` drops it when no token can fit any more."""

    token_id: str | None = None
    subject: str | None = None
    issuer: str | None = None
    issued_before: Moment | None = None
    until: Moment | None = None
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
        """Take the file, None for none; nobody is let in before `check()` has read it."""
        self._file = file
        self._on_change = on_change
        self._text: bytes | None = None
        self._all: tuple[Revocation, ...] = ()
        self._by_token: dict[str, tuple[Revocation, ...]] = {}
        self._by_subject: dict[str, tuple[Revocation, ...]] = {}
        self._general: tuple[Revocation, ...] = ()
        self._count = instruments.gauge("mcp_auth_tokens_revoked")
        self.is_readable = file is None
        """False while the file cannot be read; nobody is let in then."""

    @property
    def are_kept(self) -> bool:
        """Whether they outlast this process."""
        return self._file is not None

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
            # The content itself tells whether it has changed: times and sizes can be the same before and after.
            text = self._file.read_bytes()
            if text == self._text and self.is_readable:
                return
            entries = parse(text)
        except (OSError, ValueError) as error:
            self._fail(error.strerror or "" if isinstance(error, OSError) else str(error))
            return
        self._text, self.is_readable = text, True
        self._use(entries)

    def add(self, revocation: Revocation) -> None:
        """Put a revocation into force, and into the file when there is one; raises OSError when that fails."""
        self.check()  # what an operator has just written there must not be overwritten
        if not self.is_readable:
            raise OSError(errno.EIO, "the revocation file cannot be read")
        entries = [*self._all, revocation]
        if self._file is not None:
            self._text = _write(self._file, entries)
        self._use(entries)

    async def watch(self) -> None:
        """Read the file whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.check()

    def _fail(self, why: str) -> None:
        if self.is_readable or self._text is None:
            logger.error(
                "revocations cannot be read; nobody is let in", extra={"file": str(self._file), "problem": why}
            )
            self._on_change()
        self._text, self.is_readable = b"", False

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


def parse(text: bytes) -> list[Revocation]:
    """Return the revocations of a file; raises ValueError, which says why, for anything but one strict JSON list."""
    if not text.strip():
        raise ValueError("the file is empty")
    document = strict_json.parse(text)
    if not isinstance(document, list):
        raise ValueError("not a list of revocations")
    return [_revocation(number, entry) for number, entry in enumerate(document, 1)]


def _revocation(number: int, entry: object) -> Revocation:
    try:
        return Revocation.model_validate(entry)
    except pydantic.ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise ValueError(f"revocation {number}: {place + ': ' if place else ''}{error.errors()[0]['msg']}") from None


def _write(file: Path, entries: Iterable[Revocation]) -> bytes:
    """Replace the file in one step by one that is on the disk, and return its content; raises OSError."""
    text = json.dumps([entry.model_dump(exclude_defaults=True) for entry in entries], indent=1).encode() + b"\n"
    file = file.resolve()  # a link stays one
    temporary = file.with_name(f".{file.name}.new")
    with temporary.open("wb") as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return text
