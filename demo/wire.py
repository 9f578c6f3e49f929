"""A tool call of MCP 2026-07-28 on the wire: headers and body of the request, result of the answer."""

import json
from typing import Any

from contract import tracing
from contract.web import release

REVISION = "2026-07-28"
_PREFIX = "io.modelcontextprotocol"


class ProtocolError(Exception):
    """The answer is not what MCP demands."""


def request(tool: str, arguments: dict[str, Any], client: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return headers and body of a tools/call; headers and body agree as the revision demands."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    meta: dict[str, Any] = {
        f"{_PREFIX}/protocolVersion": REVISION,
        f"{_PREFIX}/clientCapabilities": {},
        f"{_PREFIX}/clientInfo": {"name": client, "version": release()},
    }
    for carrier in (meta, headers):
        tracing.inject(carrier)
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return headers, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def result(content_type: str, text: str) -> dict[str, Any]:
    """Return the result object of an answer, JSON or event stream; raises ProtocolError."""
    try:
        message = json.loads(_last_event(text) if content_type == "text/event-stream" else text)
        found = message["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"no JSON-RPC result: {text[:200]}") from error
    if not isinstance(found, dict):
        raise ProtocolError("the result is not an object")
    return found


def _last_event(text: str) -> str:
    """Return the data of the last event: earlier ones are notifications."""
    events = text.replace("\r\n", "\n").strip().split("\n\n")
    lines = (line for line in events[-1].split("\n") if line.startswith("data:"))
    return "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines)
