"""An OTLP receiver for tests: real HTTP, the protocol's own messages, every byte kept."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from contract.web import Server, serve


class Span(NamedTuple):
    """A span as it was received."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    status: int
    started: int
    ended: int


class Receiver:
    """Takes traces; `spans` are decoded, `bodies` are as they came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []
        self.server: Server | None = None

    @property
    def url(self) -> str:
        assert self.server
        return self.server.url

    async def start(self) -> "Receiver":
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/traces", self._traces)
        self.server = await serve(app, drain_seconds=0.1)
        return self

    async def stop(self) -> None:
        if self.server:
            await self.server.close()

    def named(self, name: str, service: str | None = None) -> list[Span]:
        return [span for span in self.spans if span.name == name and service in (None, span.service)]

    async def until(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait until a condition about the spans holds."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)

    async def _traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.spans += decoded(body)
        return web.Response(content_type="application/x-protobuf")


def decoded(body: bytes) -> list[Span]:
    """Return the spans of a message."""
    return [
        Span(
            _attributes(resource.resource)["service.name"],
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _attributes(span),
            span.status.code,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _attributes(of: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}
