"""What a request asks for: an MCP method and a name, read from the body or from headers that may be believed.

Streamable HTTP of the MCP revisions 2025-03-26 to 2026-07-28. Whoever decides by the body must refuse headers that say
otherwise; headers alone count only from 2026-07-28 on, where the server behind validates them.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from auth_sidecar import rbac, strict_json
from contract.tracing import TRACEPARENT, parse
from contract.vocabulary import AuthReason

MODERN = "2026-07-28"
"""First revision whose headers mirror the body."""
NAMED_METHODS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods that act on something named in `params`, and under which key."""
MIRRORED = ("mcp-protocol-version", "mcp-method", "mcp-name")
"""Headers that repeat what the body says."""
AUTHENTICATED = "authenticated"
"""In place of a permission: whoever is authenticated may."""
META_VERSION = "io.modelcontextprotocol/protocolVersion"
MAX_TEXT = 512
"""Longest method or name that is taken from a request."""
MAX_USES = 1000
"""Most resources that one request may subscribe to."""

MessageId = str | int | float | None

_MESSAGE_KEYS = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_PARAMS_KEYS = frozenset({"name", "uri", "arguments", "_meta", "ref", "notifications"})
_META_KEYS = frozenset({META_VERSION})
_REF_KEYS = frozenset({"type", "name", "uri"})
_LISTEN_KEYS = frozenset({"resourceSubscriptions"})
_FOLDED = {
    keys: frozenset(key.casefold() for key in keys)
    for keys in (_MESSAGE_KEYS, _PARAMS_KEYS, _META_KEYS, _REF_KEYS, _LISTEN_KEYS)
}
_REFS = {"ref/prompt": ("prompts/get", "name"), "ref/resource": ("resources/read", "uri")}
"""What a completion is for -> which method uses it, and under which key it stands."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_REVISION = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SENTINEL = re.compile(r"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")


class Action(NamedTuple):
    """What a request asks for; `method` is `http/get`, `http/delete` or `rpc/response` where no MCP method is named."""

    method: str
    name: str = ""
    version: str = ""
    message_id: MessageId = None
    is_request: bool = False
    """Whether the caller waits for a JSON-RPC answer to `message_id`."""
    arguments: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    uses: tuple[tuple[str, str], ...] = ()
    """What it reaches besides, as (method, name): whoever may not use that by this method may not use it so either."""

    @property
    def traceparent(self) -> str | None:
        """The caller's trace context, as the body says it (SEP-414)."""
        found = self.meta.get(TRACEPARENT) if self.meta else None
        return found if parse(found) else None


class Refused(NamedTuple):
    """Why a request has no action; `status` is the HTTP status that says so."""

    reason: AuthReason
    status: int
    message_id: MessageId = None


def is_modern(version: str) -> bool:
    """Whether a protocol version demands headers that mirror the body."""
    return version >= MODERN and bool(_REVISION.fullmatch(version))


def read_body(body: bytes, headers: Mapping[str, str]) -> Action | Refused:
    """Return what a POST asks for by its body; batches, duplicate keys and contradicting headers are refused.

    Header names are looked up in lower case.
    """
    try:
        message = strict_json.parse_object(body)
        params = message.get("params")
        fields = params if isinstance(params, dict) else {}
        meta = _mapping(fields.get("_meta"))
        for keys, decisive in ((message, _MESSAGE_KEYS), (fields, _PARAMS_KEYS), (meta or {}, _META_KEYS)):
            _demand_one_spelling(keys, decisive)
        method = _method(message)
        action = Action(
            method=method,
            name=_text(fields.get(NAMED_METHODS[method], "")) if method in NAMED_METHODS else "",
            version=headers.get("mcp-protocol-version", ""),
            message_id=_message_id(message.get("id")),
            is_request="method" in message and "id" in message,
            arguments=_mapping(fields.get("arguments")),
            meta=meta,
            uses=_uses(method, fields),
        )
    except ValueError:
        return Refused(AuthReason.UNMAPPED_OPERATION, 400)
    if not _agree(action, headers):
        return Refused(AuthReason.HEADER_MISMATCH, 400, action.message_id)
    return action


def read_headers(headers: Mapping[str, str], *, is_trusted: bool) -> Action | Refused:
    """Return what a POST asks for by its headers; only `http/post` unless the server behind validates them."""
    version = headers.get("mcp-protocol-version", "")
    if not (is_trusted and is_modern(version)):
        return Action("http/post", version=version)
    name = decode_header(headers.get("mcp-name", ""))
    if name is None or max(len(name), len(headers.get("mcp-method", ""))) > MAX_TEXT or "mcp-method" not in headers:
        return Refused(AuthReason.HEADER_MISMATCH, 400)
    return Action(headers["mcp-method"], name, version, is_request=True)


def decode_header(value: str) -> str | None:
    """Return the text of a mirrored header, its Base64 form decoded; None when it is broken or not ASCII."""
    if not value.startswith("=?base64?"):
        return value if value.isascii() else None
    match = _SENTINEL.fullmatch(value)
    try:
        return base64.b64decode(match[1], validate=True).decode("utf-8") if match else None
    except (binascii.Error, UnicodeDecodeError):
        return None


class OperationMap:
    """Which permission an action needs: exact names first, then globs in their order; nothing found means denied."""

    def __init__(
        self,
        methods: Mapping[str, str],
        tools: Mapping[str, str],
        prompts: Mapping[str, str],
        resources: Mapping[str, str],
    ) -> None:
        """Take permission by MCP method, tool name, prompt name and resource URI."""
        self._methods = _Table(methods)
        self._named = {
            "tools/call": _Table(tools),
            "prompts/get": _Table(prompts),
            "resources/read": _Table(resources),
        }
        self.tools = frozenset(tools)

    def permission(self, method: str, name: str = "") -> str | None:
        """Return the permission for a method, or `AUTHENTICATED`; None when the operation is not mapped."""
        if method in self._named:
            return self._named[method].find(name)
        return self._methods.find(method)


class _Table:
    def __init__(self, entries: Mapping[str, str]) -> None:
        self._exact = dict(entries)
        self._globs = [
            (rbac.glob([key]), value) for key, value in entries.items() if not {"*", "?", "["}.isdisjoint(key)
        ]

    def find(self, key: str) -> str | None:
        return self._exact.get(key) or next((value for pattern, value in self._globs if pattern.fullmatch(key)), None)


def _method(message: Mapping[str, Any]) -> str:
    """Return the method of a JSON-RPC 2.0 message; raises ValueError when it is none."""
    if message.get("jsonrpc") != "2.0":
        raise ValueError("not JSON-RPC 2.0")
    if "method" in message:
        method = _text(message["method"])
        if not method or method.startswith(("http/", "rpc/")):
            raise ValueError("not a method")
        return method
    if "result" in message or "error" in message:
        return "rpc/response"
    raise ValueError("neither request nor response")


def _text(value: object) -> str:
    """Return a name; raises ValueError for one that is no text, too long or not encodable."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or _CONTROL.search(value):
        raise ValueError("not a name")
    value.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, a ValueError
    return value


def _uses(method: str, params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the prompts and resources that a message reaches without getting or reading them; raises ValueError."""
    if method == "resources/subscribe":
        return (("resources/read", _text(params["uri"])),) if "uri" in params else ()
    if method == "completion/complete":
        ref = _mapping(params.get("ref")) or {}
        _demand_one_spelling(ref, _REF_KEYS)
        use, key = _REFS.get(str(ref.get("type")), ("", ""))
        if not use:
            raise ValueError("a completion for nothing known")
        return ((use, _text(ref.get(key))),)
    if method == "subscriptions/listen":
        wanted = _mapping(params.get("notifications")) or {}
        _demand_one_spelling(wanted, _LISTEN_KEYS)
        resources = wanted.get("resourceSubscriptions") or []
        if not isinstance(resources, list) or len(resources) > MAX_USES:
            raise ValueError("not a list of resources")
        return tuple(("resources/read", _text(uri)) for uri in resources)
    return ()


def _demand_one_spelling(keys: Iterable[str], decisive: frozenset[str]) -> None:
    """Raise ValueError for a key that a server less strict than we are would take for a decisive one.

    Go's encoding/json ignores case, Unicode's folding included; others stop reading a key at a NUL.
    """
    folded = _FOLDED[decisive]
    for key in keys:
        if key not in decisive and (key.casefold() in folded or not key.isprintable()):
            raise ValueError("a key that can be read in two ways")


def _message_id(value: object) -> MessageId:
    """Return the id of a message; raises ValueError for one that cannot be sent back."""
    if isinstance(value, str):
        value.encode("utf-8")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("not an id")
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _agree(action: Action, headers: Mapping[str, str]) -> bool:
    """Whether the headers of a message say what its body says; a modern message must have them."""
    stated = (action.meta or {}).get(META_VERSION)
    if stated is not None and stated != action.version and (action.version or is_modern(str(stated))):
        return False
    named, method = headers.get("mcp-name"), headers.get("mcp-method")
    if is_modern(action.version) and action.method != "rpc/response":
        needs_name = action.method in NAMED_METHODS
        if method is None or (needs_name and named is None):
            return False
    has_name = action.method in NAMED_METHODS
    return method in (None, action.method) and (named is None or not has_name or decode_header(named) == action.name)
