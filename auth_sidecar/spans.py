"""What the sidecar's spans say, by the OpenTelemetry conventions for MCP, and how their context is handed on.

Only closed vocabularies and names of the configuration enter a span: no token, no argument, no address of a
client, no subject; of ids only integers and UUIDs.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from auth_sidecar.decision import FORWARD, Ask, Decision, Endpoint
from auth_sidecar.operations import Action, MessageId
from contract.tracing import REQUEST_ID, TRACEPARENT, Attribute, Span, Tracer, plain_id

SIGNED = ("content-digest", "digest", "repr-digest", "signature")
"""Headers that vouch for the bytes of a body, which is then not touched (RFC 9530, RFC 9421)."""
TOOL_CALL = "tools/call"


class Operation(NamedTuple):
    """One operation as metrics name it: each part from a closed set, empty where there is none."""

    method: str
    tool: str
    error_type: str
    status_code: str
    version: str

    @property
    def name(self) -> str:
        """The span's name."""
        return f"{self.method} {self.tool}" if self.tool else self.method

    def attributes(self, endpoint: Endpoint, message_id: MessageId) -> dict[str, Attribute]:
        """Return the attributes that say so; what is empty is left out."""
        found: dict[str, str] = {
            "mcp.method.name": self.method,
            "gen_ai.tool.name": self.tool,
            "gen_ai.operation.name": "execute_tool" if self.method == TOOL_CALL else "",
            "mcp.protocol.version": self.version,
            "error.type": self.error_type,
            "rpc.response.status_code": self.status_code,
            REQUEST_ID: plain_id(message_id),
            "network.transport": "tcp",
            "lookout.agent": endpoint.agent,
            "lookout.agent_type": endpoint.agent_type,
        }
        return {name: value for name, value in found.items() if value}


def operation_ended(
    tracer: Tracer, span: Span, endpoint: Endpoint, operation: Operation, message_id: MessageId, seconds: float
) -> None:
    """Send the span of an operation that was passed on and has ended just now."""
    span.started = time.time_ns() - int(seconds * 1e9)
    span.attributes = operation.attributes(endpoint, message_id)
    tracer.end(span, operation.name, "server", is_error=bool(operation.error_type))


def decision_ended(tracer: Tracer, ask: Ask, decision: Decision, method: str) -> None:
    """Send the span of a request that is not passed on: refused, or decided for another proxy."""
    span, endpoint = ask.span, ask.endpoint
    if span is None:
        return
    span.attributes["mcp.method.name"] = method
    if endpoint:
        span.attributes["lookout.agent"] = endpoint.agent
    if not decision.is_allowed:
        span.attributes["error.type"] = span.attributes["lookout.auth.reason"] = decision.reason.value
    name = f"authorize {method}" if ask.mode == FORWARD else method
    tracer.end(span, name, "server", is_error=decision.status >= 500)


def client_left(tracer: Tracer, ask: Ask, method: str) -> None:
    """Send the span of a request whose client left while its record was written, which names the trace."""
    if ask.span:
        ask.span.attributes = {"mcp.method.name": method, "error.type": "cancelled"}
        tracer.end(ask.span, method, "server")


def handed_on(body: bytes, action: Action, span: Span, headers: Mapping[str, str]) -> bytes:
    """Return the body with our span in place of the caller's as the parent of what happens behind.

    Nothing else may change, and that is shown each time: the caller's context stands in the bytes exactly once, what
    replaces it is as long, and afterwards the message reads as ours. As one place differs and the value at
    `params._meta.traceparent` does, that place is this value. Where it cannot be shown the body stays as it was.
    """
    caller = action.traceparent
    if caller is None or any(name in headers for name in SIGNED):
        return body
    old, own = caller.encode(), span.traceparent.encode()
    if len(old) != len(own) or body.count(old) != 1:
        return body
    changed = body.replace(old, own)
    return changed if _stated(changed) == span.traceparent else body


def _stated(body: bytes) -> object:
    # The original was read strictly (no key twice) before the decision, so that only one value can be meant.
    return orjson.loads(body)["params"]["_meta"][TRACEPARENT]
