"""How MCP operations behind the sidecar went: one duration a request, labelled as the OpenTelemetry conventions say.

Tool names come from the configuration and from what servers list; whatever else a client asks for is `_OTHER`.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from auth_sidecar.decision import Endpoint
from auth_sidecar.events import EventReader, TooLargeError, data_of, fields, is_stream
from auth_sidecar.exemplars import Exemplars
from auth_sidecar.operations import Action
from auth_sidecar.spans import Operation, operation_ended
from contract.instruments import Instruments
from contract.metrics import CATALOGUE
from contract.tracing import Span, Tracer

DURATION = "mcp_server_operation_duration_seconds"
OTHER = "_OTHER"
MAX_TOOLS = 200
"""Most tool names of one endpoint that become label values."""
MAX_EVENT_BYTES = 1 << 20
"""Largest answer that is looked into."""
METHODS = frozenset({
    "initialize", "ping", "server/discover", "subscriptions/listen", "tools/list", "tools/call", "prompts/list",
    "prompts/get", "resources/list", "resources/read", "resources/templates/list", "resources/subscribe",
    "resources/unsubscribe", "completion/complete", "logging/setLevel", "notifications/initialized",
    "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed",
})  # fmt: skip
_UNNAMED = frozenset({"http/get", "http/post", "http/delete", "rpc/response"})
"""Actions without an MCP method; metrics leave them out, a span has to be called something."""
VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"})
_CALLER_FAULTS = frozenset({-32700, -32600, -32601, -32602, -32002})
"""Errors of the caller; the conventions do not count them against the server."""
_CODES = frozenset({*_CALLER_FAULTS, -32603, -32020, -32021, -32022, -32042})


class Outcome(NamedTuple):
    """How an operation ended: labels of the conventions, empty for success."""

    error_type: str = ""
    status_code: str = ""


class Watcher:
    """Looks at an answer while it passes, without holding it up, for the JSON-RPC result of one request."""

    def __init__(self, action: Action, content_type: str, status: int) -> None:
        """Take the request's action and how the answer begins."""
        self.outcome = Outcome(str(status) if status >= 500 else "")
        self.tools: tuple[str, ...] = ()
        self._action = action
        self._events = EventReader(MAX_EVENT_BYTES) if is_stream(content_type) else None
        self._is_json = content_type.startswith("application/json")
        self._held = bytearray()
        self._is_over = not (self._events or self._is_json)

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        if self._is_over:
            return
        if self._events:
            self._take_events(self._events, chunk)
            return
        self._held += chunk
        if len(self._held) > MAX_EVENT_BYTES:
            self._held.clear()
            self._is_over = True

    def end(self) -> None:
        """Look at what is left when the answer has ended."""
        if self._is_json and self._held:
            self._look(bytes(self._held))
            self._held.clear()

    def _take_events(self, events: EventReader, chunk: bytes) -> None:
        try:
            for event in events.feed(chunk):
                if b'"result"' in event or b'"error"' in event:
                    self._look(data_of(fields(event)))
        except TooLargeError:
            self._events, self._is_over = None, True

    def _look(self, document: bytes) -> None:
        try:
            message = orjson.loads(document)
        except ValueError:
            return
        if not isinstance(message, dict) or message.get("id") != self._action.message_id:
            return
        error, result = message.get("error"), message.get("result")
        if isinstance(error, dict):
            self.outcome = _error(error.get("code"))
        elif isinstance(result, dict):
            self.outcome = Outcome("tool_error") if result.get("isError") is True else Outcome()
            self.tools = _tool_names(result) if self._action.method == "tools/list" else ()


class OperationMetrics:
    """Counts operations; keeps the tool names that each endpoint has listed."""

    def __init__(self, instruments: Instruments, tracer: Tracer | None = None) -> None:
        self._instruments = instruments
        self._tracer = tracer
        self._children: dict[tuple[str, ...], Any] = {}
        self._exemplars = Exemplars(CATALOGUE[DURATION].buckets)
        self._listed: dict[str, frozenset[str]] = {}

    def count(
        self, endpoint: Endpoint, action: Action, outcome: Outcome, started: float, span: Span | None = None
    ) -> None:
        """Record an operation that began at `started` (of `time.perf_counter`), and end its span."""
        seconds = time.perf_counter() - started
        labels = (
            endpoint.agent_type,
            known_method(action.method),
            self._tool(endpoint, action),
            outcome.error_type,
            outcome.status_code,
            action.version if action.version in VERSIONS or not action.version else OTHER,
        )
        if span and self._tracer:
            operation_ended(self._tracer, span, endpoint, Operation(*labels[1:]), action.message_id, seconds)
        if not action.is_request and not action.method.startswith("notifications/"):
            return
        child = self._children.get(labels)
        if child is None:
            child = self._instruments.child(DURATION, *labels)
            self._children[labels] = child
        child.observe(seconds, self._exemplars.of(child, seconds, span) if span else None)

    def learn(self, endpoint: Endpoint, tools: tuple[str, ...]) -> None:
        """Take tool names from an endpoint's tools/list; pages add up, to a bound."""
        if tools:
            known = self._listed.get(endpoint.path, frozenset())
            self._listed[endpoint.path] = frozenset(sorted(known.union(tools))[:MAX_TOOLS])

    def hid(self, hidden: Mapping[str, int]) -> None:
        """Count entries of lists that the caller did not see."""
        for kind, count in hidden.items():
            self._instruments.child("mcp_auth_hidden_items_total", kind).inc(count)

    def _tool(self, endpoint: Endpoint, action: Action) -> str:
        if action.method != "tools/call":
            return ""
        is_known = action.name in endpoint.operations.tools or action.name in self._listed.get(endpoint.path, ())
        return action.name if is_known else OTHER


def known_method(method: str) -> str:
    """Return a method as labels and spans name it."""
    return method if method in METHODS or method in _UNNAMED else OTHER


def _error(code: object) -> Outcome:
    text = str(code) if code in _CODES else OTHER
    return Outcome("" if code in _CALLER_FAULTS else text, text)


def _tool_names(result: dict[str, Any]) -> tuple[str, ...]:
    tools = result.get("tools")
    entries = tools if isinstance(tools, list) else []
    names = (entry.get("name") for entry in entries if isinstance(entry, dict))
    return tuple(name for name in names if isinstance(name, str) and len(name) <= 128)
