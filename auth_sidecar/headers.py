"""Which headers cross the sidecar: hop-by-hop ones never, credentials and claims of identity never inwards."""

from functools import lru_cache
from urllib.parse import quote

from multidict import CIMultiDictProxy

from auth_sidecar.principal import Principal

HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""RFC 9110, section 7.6.1."""
_NOT_INWARDS = frozenset({
    "host", "content-length", "expect", "forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "x-original-url",
    "x-original-uri", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override", "remote-user",
    "x-remote-user", "content-type", "content-encoding", "mcp-method", "mcp-name", "mcp-protocol-version",
    "mcp-session-id", "last-event-id",
})  # fmt: skip
"""What the sidecar says itself, and what makes some servers see another request than the one that was judged.

Names with underscores are others here, but the same ones for a CGI-like server behind; so they count as the same.
"""
_FORGEABLE = ("x-auth-", "x-forwarded-")
_NEVER_INWARDS = HOP_BY_HOP | _NOT_INWARDS
Headers = CIMultiDictProxy[str]


def inwards(headers: Headers, besides: frozenset[str]) -> list[tuple[str, str]]:
    """Return the headers of a client that the server behind may see; those in `besides` it may not see either."""
    dropped = _NEVER_INWARDS | besides | _named_by_connection(headers)
    passed = []
    for name, value in headers.items():
        plain = name.lower().replace("_", "-")
        if plain in dropped or plain.startswith(_FORGEABLE):
            continue
        passed.append((name, value))
    return passed


def is_text(headers: Headers, target: str) -> bool:
    """Whether a request's head reads the same everywhere: values in UTF-8, a target in ASCII without fragment.

    aiohttp reads other bytes as lone surrogates, which it leaves out when it writes.
    """
    text = "".join(headers.values())
    return target.isascii() and "#" not in target and _is_encodable(text)


def outwards(headers: Headers, besides: frozenset[str]) -> list[tuple[str, str]]:
    """Return the headers of the server behind that the client may see; those in `besides` it may not see either."""
    dropped = HOP_BY_HOP | besides | _named_by_connection(headers)
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped and _is_encodable(value)]


def identity(principal: Principal) -> list[tuple[str, str]]:
    """Return the headers that tell the server behind who calls; values are percent-encoded where they must be."""
    return [
        ("X-Auth-Subject", _safe(principal.subject)),
        ("X-Auth-Kind", principal.kind.value),
        ("X-Auth-Issuer", principal.issuer),
        ("X-Auth-Client-Id", _safe(principal.client_id)),
        ("X-Auth-Roles", ",".join(_safe(role) for role in principal.roles)),
        ("X-Auth-Method", principal.method.value),
    ]


def forwarded(client: str, host: str, scheme: str) -> list[tuple[str, str]]:
    """Return what the server behind learns of the connection; nothing of it comes from the client's own headers."""
    return [("X-Forwarded-For", client), ("X-Forwarded-Host", host), ("X-Forwarded-Proto", scheme)]


@lru_cache(maxsize=4096)
def _safe(text: str) -> str:
    return quote(text, safe="!#$&'()*+-./:;<=>?@[]^_`{|}~")


def _named_by_connection(headers: Headers) -> frozenset[str]:
    """Return what is for this connection only, as its sender says; headers of MCP never are."""
    values = headers.getall("Connection", ())
    words = (word.strip().lower() for value in values for word in value.split(","))
    return frozenset([word for word in words if not word.startswith("mcp-")])


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
