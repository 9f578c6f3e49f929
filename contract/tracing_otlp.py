"""Where ended spans go: over OTLP, in batches.

Imported only when tracing is on. The queue is bounded and nobody waits: what does not fit is dropped and counted.
How is in `contract/tracing_settings.py`.
"""

import logging
import math
import re
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from opentelemetry import trace
from opentelemetry.sdk.resources import Attributes, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import Status, StatusCode

from contract.instruments import Instruments
from contract.log import RateLimit
from contract.tracing import REQUEST_ID, Parent, Span, plain_id
from contract.tracing_otlp_http import HttpSender, Outcome, Queued
from contract.tracing_queue import BatchQueue
from contract.tracing_settings import GRPC, Settings
from contract.web import release

logger = logging.getLogger(__name__)

EXPORTED, QUEUE_FULL, EXPORT_FAILED = "exported", "queue_full", "export_failed"
TOLD_EVERY_SECONDS = 30.0
"""How often a log line may tell why spans are not taken."""
_KINDS = {"server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT, "internal": trace.SpanKind.INTERNAL}
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_FAILED = Status(StatusCode.ERROR)
_UNSET: Any = None
"""What the encoder leaves out; `Status(StatusCode.UNSET)` says the same at a price."""

Count = Callable[[str, int], None]


class Sender(Protocol):
    """Sends batches over one of OTLP's protocols."""

    def queued(self, span: Span) -> Queued:
        """Return what waits of a span, made where it ends; TypeError or ValueError for what cannot be sent."""

    def send(self, spans: Sequence[Queued]) -> Outcome:
        """Send a batch and return what became of it; never takes longer than the time that is set."""


class GrpcSender:
    """Sends batches with the SDK's exporter; gRPC has a deadline for a call and bounds answers by itself."""

    def __init__(self, settings: Settings, readable: Callable[[Span], ReadableSpan]) -> None:
        from grpc import Compression  # type: ignore[import-untyped]
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter

        logging.getLogger(trace_exporter.__name__).addFilter(RateLimit())
        compression = Compression.Gzip if settings.is_compressed else Compression.NoCompression
        self._exporter = trace_exporter.OTLPSpanExporter(
            settings.url, headers=dict(settings.headers), timeout=settings.timeout_seconds, compression=compression
        )
        self._readable = readable

    def queued(self, span: Span) -> Span:
        """Return the span as it is: to make one of the SDK's of it costs as much as all the rest."""
        return span

    def send(self, spans: Sequence[Queued]) -> Outcome:
        """Send a batch; the exporter logs why it failed."""
        made = [self._readable(span) if isinstance(span, Span) else cast("ReadableSpan", span) for span in spans]
        return Outcome(0 if self._exporter.export(made) is SpanExportResult.SUCCESS else len(spans))


class _OneResource(Resource):
    """A resource whose hash is computed once: the encoder asks for it with every span, and the SDK's is a JSON text."""

    def __init__(self, attributes: Attributes, schema_url: str) -> None:
        super().__init__(attributes, schema_url)
        self._known_hash = super().__hash__()

    def __hash__(self) -> int:
        return self._known_hash


class OtlpOutlet(SpanProcessor):
    """Sends spans, ours and those of libraries; never waits."""

    def __init__(self, service: str, settings: Settings, *, for_libraries: bool = False) -> None:
        said = {"service.name": service, "service.namespace": "mcp-lookout", "service.version": release()}
        resource = Resource.create(said)
        self._resource = _OneResource(resource.attributes, resource.schema_url)
        self._scope = InstrumentationScope("mcp_lookout", release())
        self._count: Count = lambda result, spans: None
        self.sender: Sender = (GrpcSender if settings.protocol == GRPC else HttpSender)(settings, self.readable)
        self._told = -math.inf
        self._queue = BatchQueue[Queued](
            self._send, limit=settings.queue, batch=settings.batch, delay_seconds=settings.delay_millis / 1000
        )
        if for_libraries:
            provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
            provider.add_span_processor(self)
            trace.set_tracer_provider(provider)

    def send(self, span: Span) -> None:
        """Queue one of our own spans."""
        try:
            queued = self.sender.queued(span)
        except (TypeError, ValueError, struct.error):
            logger.exception("a span cannot be encoded")
            self._count(EXPORT_FAILED, 1)
            return
        if not self._queue.put(queued):
            self._count(QUEUE_FULL, 1)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span of a library."""
        is_sampled = span.context is not None and span.context.trace_flags.sampled
        if is_sampled and not self._queue.put(_without_words(span)):
            self._count(QUEUE_FULL, 1)

    def count_on(self, instruments: Instruments) -> None:
        """Count what becomes of spans in `mcp_trace_spans_total`."""
        counter = instruments.counter("mcp_trace_spans_total")
        self._count = lambda result, spans: counter.labels(instruments.service, result).inc(spans)

    def close(self, seconds: float) -> None:
        """Send what waits, for at most so long; an endpoint that is down holds nobody up."""
        unsent = self._queue.close(seconds)
        if unsent:
            logger.warning("spans were not sent before the end", extra={"spans": unsent})

    def readable(self, span: Span) -> ReadableSpan:
        """Return one of our spans as the SDK has them."""
        parent = span.parent
        return ReadableSpan(
            span.name,
            trace.SpanContext(span.trace, span.span, is_remote=False, trace_flags=_SAMPLED),
            None if parent is None else _context_of(parent),
            self._resource,
            span.attributes,
            kind=_KINDS[span.kind],
            status=_FAILED if span.is_error else _UNSET,
            start_time=span.started,
            end_time=span.ended,
            instrumentation_scope=self._scope,
        )

    def _send(self, spans: Sequence[Queued]) -> None:
        """Send a batch, and count and tell what became of it."""
        outcome = Outcome(len(spans))
        try:
            outcome = self.sender.send(spans)
        finally:
            self._count(EXPORTED, len(spans) - outcome.rejected)
            self._count(EXPORT_FAILED, outcome.rejected)
        if outcome.reason and time.monotonic() - self._told >= TOLD_EVERY_SECONDS:
            self._told = time.monotonic()
            logger.warning("spans were not taken", extra={"spans": outcome.rejected, "problem": outcome.reason})


def _without_words(span: ReadableSpan) -> ReadableSpan:
    """Return a span without what may quote a caller: exceptions, descriptions, tracestate, ids that are free text."""
    attributes = dict(span.attributes or {})
    named = str(attributes.pop(REQUEST_ID, ""))
    # Libraries write numbers as text too.
    shown = plain_id(int(named) if _NUMBER.fullmatch(named) else named)
    return ReadableSpan(
        span.name,
        _without_state(span.context),
        _without_state(span.parent),
        span.resource,
        {**attributes, REQUEST_ID: shown} if shown else attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_state(context: trace.SpanContext | None) -> trace.SpanContext | None:
    return context and trace.SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def trace_id_of_libraries() -> str:
    """Return the trace id of the span that a library runs this code in, empty when there is none."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else ""


def _context_of(parent: Parent) -> trace.SpanContext:
    return trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=_SAMPLED)
