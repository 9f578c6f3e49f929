"""Traces over OTLP; without an endpoint in the environment nothing is imported, traced or slower."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Standard variables of OpenTelemetry; one of them turns tracing on."""


def is_enabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an OTLP endpoint is configured."""
    return any(environ.get(variable) for variable in ENDPOINT_VARIABLES)


def setup(service: str) -> None:
    """Send this process's spans to the configured endpoint, batched; do nothing where there is none.

    Sampling, protocol and headers follow OpenTelemetry's own OTEL_* variables.
    """
    if not is_enabled():
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "mcp-lookout"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def span(
    name: str, *, kind: str = "internal", carrier: Mapping[str, str] | None = None, **attributes: Any
) -> Iterator[Any]:
    """Run a block in a span whose parent comes from `carrier` (W3C trace context) or the caller; None when off."""
    if not is_enabled():
        yield None
        return
    from opentelemetry import propagate, trace

    context = propagate.extract(carrier) if carrier else None
    options: dict[str, Any] = {"kind": trace.SpanKind[kind.upper()], "attributes": attributes, "context": context}
    with _tracer().start_as_current_span(name, **options) as current:
        yield current


def inject(carrier: dict[str, str]) -> dict[str, str]:
    """Add the current trace context to a carrier (headers or `params._meta`) and return it."""
    if is_enabled():
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


def current_trace_id() -> str:
    """Return the trace id of the running span as 32 hex digits, empty when there is none."""
    if not is_enabled():
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""


@cache
def _tracer() -> Any:
    from opentelemetry import trace

    return trace.get_tracer("mcp_lookout")
