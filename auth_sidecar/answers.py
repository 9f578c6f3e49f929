"""Every refusal that a client sees, made in one place: status, challenge and body; never which check failed.

RFC 6750 and 9728 as the MCP authorization specification asks for them: 401 with and without a token, 403 step-up with
all scopes at once. Bodies of JSON-RPC requests are JSON-RPC errors.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from auth_sidecar.decision import Decision, Endpoint
from auth_sidecar.operations import MessageId
from contract.vocabulary import AuthReason

METADATA_PATH = "/.well-known/oauth-protected-resource"
HEADER_MISMATCH = -32020
"""MCP 2026-07-28: headers and body of a request do not agree."""
_WORDS = {
    400: ("invalid_request", "The request is malformed or contradicts itself."),
    401: ("invalid_token", "The access token is missing or not valid here."),
    403: ("access_denied", "The caller may not do this."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This method is not used here."),
    408: ("invalid_request", "The request did not arrive in time."),
    413: ("invalid_request", "The request is too large."),
    415: ("invalid_request", "The request is not plain JSON in UTF-8."),
    429: ("temporarily_unavailable", "Too many failed attempts; try again later."),
    500: ("server_error", "The request could not be judged."),
    503: ("temporarily_unavailable", "The request cannot be judged now."),
}
_SCOPE_REASONS = (AuthReason.INSUFFICIENT_SCOPE, AuthReason.NO_PERMISSION)


class Answer(NamedTuple):
    """An HTTP answer, ready for any adapter."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answers:
    """Makes the answers of one protected resource."""

    def __init__(
        self,
        resource: str,
        authorization_servers: tuple[str, ...],
        scopes: tuple[str, ...],
        paths: Iterable[str],
        retry_seconds: float = 60,
    ) -> None:
        """Take the canonical URL, its authorization servers, the scopes for basic work, and the endpoints' paths."""
        self._resource = resource.rstrip("/")
        places = {path.rstrip("/") for path in ("", urlsplit(resource).path, *paths)}
        self._metadata_paths = frozenset(METADATA_PATH + place for place in places)
        self._servers = authorization_servers
        self._scopes = scopes
        self._retry = str(int(retry_seconds))

    def refuse(self, decision: Decision, endpoint: Endpoint | None = None, message_id: MessageId = None) -> Answer:
        """Return the answer to a refused request; `message_id` is that of its JSON-RPC message, where it has one."""
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        if decision.status in (401, 403) and decision.reason is not AuthReason.ORIGIN_NOT_ALLOWED:
            headers["WWW-Authenticate"] = self._challenge(decision, endpoint)
        if decision.status in (429, 503):
            headers["Retry-After"] = self._retry
        if decision.status == 405:
            headers["Allow"] = "POST, GET, DELETE"
        return Answer(decision.status, headers, body(decision.status, message_id, decision.reason))

    def metadata(self, path: str) -> Answer | None:
        """Return the protected resource metadata (RFC 9728) for a request path, None when that is something else."""
        if path.rstrip("/") not in self._metadata_paths:
            return None
        document = {
            "resource": self._resource,
            "authorization_servers": self._servers,
            "bearer_methods_supported": ["header"],
            "resource_name": "MCP agents behind MCP Lookout",
        }
        if self._scopes:
            document["scopes_supported"] = self._scopes
        headers = {"Content-Type": "application/json", "Cache-Control": "max-age=300", **_CORS}
        return Answer(200, headers, orjson.dumps(document))

    def _challenge(self, decision: Decision, endpoint: Endpoint | None) -> str:
        parts = []
        if decision.status == 403 and decision.reason in _SCOPE_REASONS:
            parts.append('error="insufficient_scope"')
        elif decision.reason is not AuthReason.MISSING_AUTH_HEADER:
            parts.append('error="invalid_token"' if decision.status == 401 else 'error="insufficient_scope"')
        scopes = decision.scopes or (self._scopes if decision.status == 401 else ())
        if scopes:
            parts.append(f'scope="{" ".join(scopes)}"')
        parts.append(f'resource_metadata="{self.metadata_url(endpoint)}"')
        return "Bearer " + ", ".join(parts)

    def metadata_url(self, endpoint: Endpoint | None = None) -> str:
        """Return where the metadata of an endpoint is found: the well-known name comes before the path."""
        url = urlsplit(self._resource)
        path = endpoint.path if endpoint else url.path
        return url._replace(path=METADATA_PATH + path.rstrip("/")).geturl()


_CORS = {"Access-Control-Allow-Origin": "*"}


def body(status: int, message_id: MessageId, reason: AuthReason | None = None) -> bytes:
    """Return the body of a refusal: a JSON-RPC error where the request had an id, else an OAuth error."""
    error, description = _WORDS.get(status, _WORDS[500])
    is_mismatch = reason is AuthReason.HEADER_MISMATCH
    if message_id is None and not is_mismatch:
        return orjson.dumps({"error": error, "error_description": description})
    code = HEADER_MISMATCH if is_mismatch else status
    return rpc_error(message_id, code, description, {"error": error})


def rpc_error(message_id: MessageId, code: int, message: str, data: Mapping[str, str]) -> bytes:
    """Return a JSON-RPC error; codes of our own are HTTP statuses, outside everything that is reserved."""
    return orjson.dumps({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": message, "data": data}})
