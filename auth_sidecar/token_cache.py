"""Verified tokens by hash, so that a signature is checked once; an entry never outlives the right it stands for."""

import hashlib
from collections.abc import Callable

from auth_sidecar.principal import Principal
from contract.metrics import Instruments


class TokenCache:
    """Keeps principals of verified tokens until they expire, keys change or something is revoked; bounded."""

    def __init__(self, instruments: Instruments, clock: Callable[[], float], max_entries: int = 10_000) -> None:
        """Take a clock that tells seconds since the epoch."""
        self._clock = clock
        self._max = max_entries
        self._entries: dict[bytes, Principal] = {}
        self._hit = instruments.child("mcp_auth_token_cache_requests_total", "hit")
        self._miss = instruments.child("mcp_auth_token_cache_requests_total", "miss")

    def get(self, token: str) -> Principal | None:
        """Return the principal of a token that was verified before and is still in force."""
        key = hashlib.sha256(token.encode()).digest()
        principal = self._entries.get(key)
        if principal is None:
            self._miss.inc()
            return None
        if self._clock() >= principal.expires_at:
            del self._entries[key]
            self._miss.inc()
            return None
        self._hit.inc()
        return principal

    def put(self, token: str, principal: Principal) -> None:
        """Remember a verified token; the oldest entry goes when there is no room."""
        if len(self._entries) >= self._max:
            del self._entries[next(iter(self._entries))]
        self._entries[hashlib.sha256(token.encode()).digest()] = principal

    def clear(self) -> None:
        """Forget everything; called when keys, revocations or configuration change."""
        self._entries.clear()
