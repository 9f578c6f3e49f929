"""Legacy session ids bound to their principal, without state: what the client holds carries a seal over both.

MCP up to 2025-11-25: a session must not authenticate, and a foreign one is answered with 404. The seal survives
restarts and is the same in every worker, so nothing has to be remembered or bounded.
"""

import hmac

from auth_sidecar.principal import Principal

HEADER = "Mcp-Session-Id"
_SEAL_LENGTH = 32


class SessionBinding:
    """Seals and opens session ids with a key that only the sidecar has."""

    def __init__(self, secret: bytes) -> None:
        """Take any secret; a key of its own is derived from it."""
        self._key = hmac.digest(secret, b"mcp-lookout-session", "sha256")

    def bind(self, session: str, principal: Principal, path: str) -> str:
        """Return what the client gets in place of the server's session id."""
        return f"{session}.{self._seal(session, principal, path)}"

    def release(self, held: str, principal: Principal, path: str) -> str | None:
        """Return the server's session id, None when it was not given to this principal for this endpoint."""
        session, _, seal = held.rpartition(".")
        expected = self._seal(session, principal, path)
        return session if hmac.compare_digest(seal.encode("utf-8", "replace"), expected.encode()) else None

    def _seal(self, session: str, principal: Principal, path: str) -> str:
        parts = (path, *principal.key, session)
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.digest(self._key, message, "sha256").hex()[:_SEAL_LENGTH]
