"""Where ended spans go: OpenTelemetry's SDK batches them in a thread of its own and sends them over OTLP.

Imported only when tracing is on. The queue is bounded and nobody waits: what does not fit is dropped and counted.
Endpoint, headers, protocol, time-outs and queue follow the OTEL_* variables of the specification.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import Attributes, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import Status, StatusCode

from contract.instruments import Instruments
from contract.log import RateLimit
from contract.tracing import REQUEST_ID, Parent, Span, plain_id
from contract.web import release

logger = logging.getLogger(__name__)

EXPORTED, QUEUE_FULL, EXPORT_FAILED = "exported", "queue_full", "export_failed"
DEFAULT_QUEUE, DEFAULT_BATCH = 4096, 1024
"""Spans that may wait, and that are sent at once: twice the SDK's, as each sending costs like encoding a thousand."""
_KINDS = {"server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT, "internal": trace.SpanKind.INTERNAL}
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_QUEUED = trace.SpanContext(1, 1, is_remote=False, trace_flags=_SAMPLED)
"""The queue asks whether a span is sampled, and nothing else."""
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_FAILED = Status(StatusCode.ERROR)
_UNSET: Any = None
"""What the encoder leaves out; `Status(StatusCode.UNSET)` says the same at a price."""

Count = Callable[[str, int], None]


class _Counted(SpanExporter):
    """Sends batches and tells what became of each; makes the SDK's spans of ours where the exporter needs them."""

    def __init__(self, exporter: SpanExporter, made: Callable[[Span], ReadableSpan]) -> None:
        self._exporter = exporter
        self._made = made
        self.ended: Count = lambda result, spans: None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = SpanExportResult.FAILURE
        try:
            result = self._send(spans)
        finally:
            self.ended(EXPORTED if result is SpanExportResult.SUCCESS else EXPORT_FAILED, len(spans))
        return result

    def shutdown(self) -> None:
        """Give up what is being tried."""
        self._exporter.shutdown()

    def _send(self, spans: Sequence[ReadableSpan | Span]) -> SpanExportResult:
        ours = [span for span in spans if isinstance(span, Span)]
        send_ours = getattr(self._exporter, "export_ours", None)
        if send_ours and len(ours) == len(spans):
            result: SpanExportResult | None = send_ours(ours, self._made(ours[0]))
            if result is not None:
                return result
        return self._exporter.export([self._made(span) if isinstance(span, Span) else span for span in spans])


class _OneResource(Resource):
    """A resource whose hash is computed once: the encoder asks for it with every span, and the SDK's is a JSON text."""

    def __init__(self, attributes: Attributes, schema_url: str) -> None:
        super().__init__(attributes, schema_url)
        self._known_hash = super().__hash__()

    def __hash__(self) -> int:
        return self._known_hash


class OtlpOutlet(SpanProcessor):
    """Sends spans, ours and those of libraries; never waits."""

    def __init__(self, service: str, *, for_libraries: bool = False) -> None:
        said = {"service.name": service, "service.namespace": "mcp-lookout", "service.version": release()}
        resource = Resource.create(said)
        self._resource = _OneResource(resource.attributes, resource.schema_url)
        self._scope = InstrumentationScope("mcp_lookout", release())
        self._limit = _setting(OTEL_BSP_MAX_QUEUE_SIZE, DEFAULT_QUEUE)
        self._waiting = 0
        self._lock = threading.Lock()
        self._count: Count = lambda result, spans: None
        exporter = _Counted(_exporter(), self.readable)
        exporter.ended = self._ended
        batch = min(_setting(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, DEFAULT_BATCH), self._limit)
        self._batches = BatchSpanProcessor(exporter, max_queue_size=self._limit, max_export_batch_size=batch)
        if for_libraries:
            provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
            provider.add_span_processor(self)
            trace.set_tracer_provider(provider)

    def send(self, span: Span) -> None:
        """Queue one of our own spans as it is: to make one of the SDK's of it costs as much as all the rest."""
        span.context = _QUEUED
        self._queue(cast("ReadableSpan", span))

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span of a library."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._queue(_without_words(span))

    def _queue(self, span: ReadableSpan) -> None:
        """Queue a span, or drop it when as many as allowed wait."""
        with self._lock:
            is_full = self._waiting >= self._limit
            self._waiting += not is_full
        if is_full:
            self._count(QUEUE_FULL, 1)
        else:
            self._batches.on_end(span)

    def count_on(self, instruments: Instruments) -> None:
        """Count what becomes of spans in `mcp_trace_spans_total`."""
        counter = instruments.counter("mcp_trace_spans_total")
        self._count = lambda result, spans: counter.labels(instruments.service, result).inc(spans)

    def close(self, seconds: float) -> None:
        """Send what waits, for at most so long; an endpoint that is down holds nobody up."""
        ending = threading.Thread(target=self._batches.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)
        if self._waiting:
            logger.warning("spans were not sent before the end", extra={"spans": self._waiting})

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

    def _ended(self, result: str, spans: int) -> None:
        with self._lock:
            self._waiting -= spans
        self._count(result, spans)


def _without_words(span: ReadableSpan) -> ReadableSpan:
    """Return a span without what may quote a caller: exceptions, descriptions, ids that are no number and no UUID."""
    attributes = dict(span.attributes or {})
    named = str(attributes.pop(REQUEST_ID, ""))
    # Libraries write numbers as text too.
    shown = plain_id(int(named) if _NUMBER.fullmatch(named) else named)
    if not span.events and not span.status.description and shown == named:
        return span
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        {**attributes, REQUEST_ID: shown} if shown else attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def trace_id_of_libraries() -> str:
    """Return the trace id of the span that a library runs this code in, empty when there is none."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else ""


def _context_of(parent: Parent) -> trace.SpanContext:
    return trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=_SAMPLED)


def _setting(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) else default


def _exporter() -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        logging.getLogger(grpc.__name__).addFilter(RateLimit())
        return grpc.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    from contract.tracing_otlp_http import LeanExporter

    logging.getLogger(http.__name__).addFilter(RateLimit())
    return LeanExporter()
