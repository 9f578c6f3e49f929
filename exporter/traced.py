"""Requests to agents and engines as client spans, whose context goes along in headers and `params._meta` (SEP-414)."""

from collections.abc import Callable
from typing import Any

import orjson

from contract.tracing import TRACEPARENT, Span, Tracer
from exporter.exchange import Answer, Headers, HttpClient
from exporter.outcome import Failure


class TracedClient(HttpClient):
    """A client each of whose exchanges is a span below the running one."""

    tracer: Tracer

    async def send(
        self,
        method: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        is_last_event: Callable[[bytes], bool] | None = None,
        on_headers: Callable[[Headers], None] | None = None,
    ) -> Answer | Failure:
        """Exchange one request for one answer."""
        message = orjson.loads(body) if body else {}
        with self.tracer.span(message.get("method", method), "client") as span:
            headers = {**headers, TRACEPARENT: span.traceparent}
            if span.is_sampled:
                span.attributes.update(self._said(message, headers))
            answer = await super().send(
                method,
                headers,
                _with_context(message, span) if "id" in message else body,
                is_last_event=is_last_event,
                on_headers=on_headers,
            )
            _judge(span, answer)
            return answer

    def _said(self, message: dict[str, Any], headers: Headers) -> dict[str, str | int]:
        said = {
            "mcp.method.name": message.get("method", ""),
            "mcp.protocol.version": headers.get("MCP-Protocol-Version", ""),
            "jsonrpc.request.id": str(message.get("id", "")),
            "server.address": self.url.host or "",
            "network.transport": "tcp",
        }
        return {**{name: value for name, value in said.items() if value}, "server.port": self.url.port or 0}


def _with_context(message: dict[str, Any], span: Span) -> bytes:
    params = message.get("params") or {}
    meta = {**(params.get("_meta") or {}), TRACEPARENT: span.traceparent}
    return orjson.dumps({**message, "params": {**params, "_meta": meta}})


def _judge(span: Span, answer: Answer | Failure) -> None:
    if isinstance(answer, Failure):
        span.attributes["error.type"] = answer.outcome.value
        span.is_error = True
        return
    span.attributes["http.response.status_code"] = answer.status
    if answer.status >= 400:
        span.attributes["error.type"] = str(answer.status)
        span.is_error = True
