"""JSON-RPC as MCP uses it: request bytes made once, answers read into values. Pure; no sockets."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson

from exporter import label_values

MODERN_VERSION = "2026-07-28"
LEGACY_VERSION = "2025-11-25"
"""Newest revision with a handshake; what we offer a legacy server."""
LEGACY_VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", LEGACY_VERSION})

METHOD_NOT_FOUND = -32601
MODERN_REFUSALS = frozenset({-32020, -32021, -32022})
"""Errors that only a server of 2026-07-28 or later gives."""
UNSUPPORTED_VERSION = -32022

REQUEST_ID = 1
"""Every request has a connection's turn of its own, so one id serves all; the answer must still carry it."""

CLIENT_INFO = {"name": "mcp-lookout-exporter", "version": version("mcp-lookout")}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
}
BASE_HEADERS: Mapping[str, str] = {
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"mcp-lookout-exporter/{CLIENT_INFO['version']}",
}
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Message(NamedTuple):
    """A request ready to be sent."""

    headers: Mapping[str, str]
    body: bytes


class Unreadable(NamedTuple):
    """An answer that is no JSON-RPC response to our request."""

    detail: str


@dataclass(frozen=True, slots=True)
class RpcError:
    """A JSON-RPC error."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Result:
    """A JSON-RPC result; MCP results are always objects."""

    value: dict[str, Any] = field(default_factory=dict)
    size: int = field(default=0, compare=False)
    """Bytes of the answer it came in."""


def modern_message(method: str, params: Mapping[str, Any] | None = None) -> Message:
    """Build a request of revision 2026-07-28: metadata in `params._meta`, mirrored into headers."""
    headers = {**BASE_HEADERS, "MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": method}
    if method in _NAMED_BY and params:
        headers["Mcp-Name"] = header_value(str(params[_NAMED_BY[method]]))
    return Message(headers, _encode(method, {**(params or {}), "_meta": _META}))


def legacy_message(method: str, params: Mapping[str, Any] | None = None, *, is_notification: bool = False) -> Message:
    """Build a request for a legacy server; session and version headers are added by the dialog."""
    return Message(BASE_HEADERS, _encode(method, params, None if is_notification else REQUEST_ID))


def header_value(text: str) -> str:
    """Encode a value for an Mcp-* header: as it is, or as a Base64 sentinel (2026-07-28, basic/transports)."""
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def read_response(body: bytes, *, is_id_checked: bool = True) -> Result | RpcError | Unreadable:
    """Read the response to our request; servers may leave the id of an error out when they could not read ours."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Unreadable(f"the answer is not JSON: {error}")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return Unreadable("the answer is not a JSON-RPC 2.0 message")
    if is_id_checked and not _is_our_id(message.get("id")):
        return Unreadable(f"the answer carries id {str(message.get('id'))[:40]!r}, not ours")
    if "error" in message:
        return _read_error(message["error"])
    result = message.get("result")
    return (
        Result(result, len(body)) if isinstance(result, dict) else Unreadable("the answer has neither result nor error")
    )


def is_response(data: bytes) -> bool:
    """Whether an event of a stream is a response, and not a notification or a request of the server."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return True
    return not (isinstance(message, dict) and "method" in message)


def text_of(value: object, limit: int = 64) -> str:
    """Return a foreign name as short printable text, empty when it is none."""
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text[:limit] if character.isprintable())


def label_of(value: object) -> str:
    """Return a foreign name as a label value."""
    return label_values.cut(text_of(value))


def _is_our_id(value: object) -> bool:
    return value == REQUEST_ID and not isinstance(value, bool)


def _read_error(error: object) -> RpcError | Unreadable:
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return Unreadable("the answer's error has no code")
    return RpcError(error["code"], text_of(error.get("message"), 200), error.get("data"))


def _encode(method: str, params: Mapping[str, Any] | None, request_id: int | None = REQUEST_ID) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if request_id is not None:
        message["id"] = request_id
    if params is not None:
        message["params"] = params
    return orjson.dumps(message)
