"""Legacy ids of sessions and events bound to their principal, without state: what the client holds carries a seal.

MCP up to 2025-11-25: a session must not authenticate, a foreign one is answered with 404, and with the id of a foreign
event somebody else's answer could be read on. The seal survives restarts and is the same in every worker, so nothing
has to be remembered or bounded.
"""

import hashlib
import hmac
from collections.abc import Callable

from auth_sidecar.principal import Principal

HEADER = "Mcp-Session-Id"
EVENT_HEADER = "Last-Event-ID"
_SEAL_BYTES = 16


class SessionBinding:
    """Seals and opens session ids with a key that only the sidecar has."""

    def __init__(self, secret: bytes) -> None:
        """Take any secret; a key of its own is derived from it."""
        self._key = hmac.digest(secret, b"mcp-lookout-session", "sha256")

    def of_events(self) -> "SessionBinding":
        """Return the same for ids of events; neither's seal is good for the other."""
        return SessionBinding(hmac.digest(self._key, b"event", "sha256"))

    def binder(self, principal: Principal, path: str) -> Callable[[bytes], bytes]:
        """Return what makes of the server's ids what this caller gets in their place at this endpoint."""
        parts = [part.encode() for part in (path, *principal.key)]
        key = hmac.digest(self._key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")
        # BLAKE2b with a key is a MAC (RFC 7693), at a third of an HMAC's cost: a stream may have many ids.
        return lambda name: name + b"." + hashlib.blake2b(name, key=key, digest_size=_SEAL_BYTES).hexdigest().encode()

    def bind(self, session: str, principal: Principal, path: str) -> str:
        """Return what the client gets in place of the server's session id."""
        return self.binder(principal, path)(session.encode()).decode()

    def release(self, held: str, principal: Principal, path: str) -> str | None:
        """Return the server's session id, None when it was not given to this principal for this endpoint."""
        session = held.rpartition(".")[0]
        expected = self.binder(principal, path)(session.encode("utf-8", "replace"))
        return session if hmac.compare_digest(held.encode("utf-8", "replace"), expected) else None
