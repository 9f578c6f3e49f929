"""Verified credentials by hash, so that a signature is checked once; no entry outlives the right it stands for."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from auth_sidecar.principal import Principal


class Caller:
    """A verified principal, and what is made for it only once."""

    __slots__ = ("answer", "principal", "record")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.answer = b""
        """What forward-auth says when this caller may pass; made when it is first needed."""
        self.record = b""
        """Its part of an audit record; made when it is first needed."""


def key_of(credential: str) -> bytes:
    """Return what a credential is remembered by, so that none is kept in clear."""
    return hashlib.sha256(credential.encode("latin-1", "replace")).digest()


class TokenCache:
    """Keeps callers until their token expires, keys or rules change, or something is revoked; bounded."""

    def __init__(self, clock: Callable[[], float], max_entries: int = 10_000) -> None:
        """Take a clock that tells seconds since the epoch."""
        self._clock = clock
        self._max = max_entries
        self._entries: OrderedDict[bytes, Caller] = OrderedDict()

    def get(self, key: bytes) -> Caller | None:
        """Return who a credential stood for when it was verified, if that is still in force."""
        caller = self._entries.get(key)
        if caller is not None and self.is_over(caller.principal):
            del self._entries[key]
            return None
        return caller

    def is_over(self, principal: Principal, leeway_seconds: float = 0.0) -> bool:
        """Whether a credential has expired."""
        return self._clock() >= principal.expires_at + leeway_seconds

    def put(self, key: bytes, caller: Caller) -> None:
        """Remember a verified credential; the oldest entry goes when there is no room."""
        if len(self._entries) >= self._max:
            self._entries.popitem(last=False)
        self._entries[key] = caller

    def clear(self) -> None:
        """Forget everything; called when keys, revocations or rules change."""
        self._entries.clear()
