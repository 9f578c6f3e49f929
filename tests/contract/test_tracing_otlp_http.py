"""Our encoder says the same as the SDK's, and what is not ours is left to the SDK."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from contract.tracing import Attribute
from contract.tracing_otlp_http import encode

RESOURCE, SCOPE = Resource.create({"service.name": "sidecar"}), InstrumentationScope("mcp_lookout", "1")
NO_STATUS: Status = None  # type: ignore[assignment]


def span(number: int, kind: SpanKind, *, is_remote: bool | None = None, status: Status = NO_STATUS) -> ReadableSpan:
    def context(identity: int, is_remote: bool) -> SpanContext:
        return SpanContext(identity << 64, identity, is_remote, TraceFlags(1))

    parent = None if is_remote is None else context(number + 100, is_remote)
    said: dict[str, Attribute] = {"text": "tools/call", "whole": 7, "real": 0.5, "truth": True, "one": 1}
    return ReadableSpan(
        f"span {number}", context(number, False), parent, RESOURCE, said, kind=kind, status=status,
        start_time=10, end_time=20 + number, instrumentation_scope=SCOPE,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL])
def test_a_batch_reads_as_the_sdks(kind: SpanKind) -> None:
    spans = [
        span(1, kind),
        span(2, kind, is_remote=True),
        span(3, kind, is_remote=False, status=Status(StatusCode.ERROR)),
    ]
    ours, theirs = encode(spans), encode_spans(spans)
    assert ours == theirs
    assert ExportTraceServiceRequest.FromString(ours.SerializePartialToString()) == theirs
