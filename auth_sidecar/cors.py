"""What lets MCP clients in web pages work: CORS preflights (Fetch standard), and answers that a page may read.

A preflight carries no credential, reaches nobody behind and grants nothing: the request that follows is decided,
recorded and counted as every other. So one of a configured origin is only answered, as the metadata document is; one of
a foreign origin is refused as any request of that origin is, and that is recorded.
"""

from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDictProxy

from auth_sidecar.answers import Answer

METHODS = "POST, GET, DELETE"
MAX_AGE_SECONDS = 600
"""How long a browser may remember a preflight; a change of the configured origins counts then at the latest."""
READABLE = "Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After"
"""Headers of answers that a page may read: what it needs to go on, and to find its authorization server."""
_SENDABLE = frozenset({
    "authorization", "content-type", "accept", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name",
    "last-event-id", "x-request-id", "traceparent", "tracestate", "baggage",
})  # fmt: skip
_SENDABLE_PREFIX = "mcp-param-"


def is_preflight(request: web.BaseRequest) -> bool:
    """Whether a browser asks if a page may send something."""
    return (
        request.method == "OPTIONS"
        and "Origin" in request.headers
        and "Access-Control-Request-Method" in request.headers
    )


def preflight(headers: CIMultiDictProxy[str], origin: str) -> Answer:
    """Return the answer to a preflight of a page that may; of what it asks for, it gets what MCP needs."""
    asked = headers.get("Access-Control-Request-Headers", "").lower().split(",")
    names = sorted({name.strip() for name in asked if _is_sendable(name.strip())})
    answer = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }
    return Answer(204, {**answer, **({"Access-Control-Allow-Headers": ", ".join(names)} if names else {})}, b"")


def open_to_page(headers: Mapping[str, str], response: web.StreamResponse) -> None:
    """Let the page that has sent a request read its answer; what the server behind says of that does not count."""
    origin = headers.get("Origin")
    if origin is None:
        return
    for name in [name for name in response.headers if name.lower().startswith("access-control-")]:
        response.headers.popall(name, None)
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = READABLE
    response.headers.add("Vary", "Origin")


def _is_sendable(name: str) -> bool:
    return name in _SENDABLE or (name.startswith(_SENDABLE_PREFIX) and name.replace("-", "").isalnum())
