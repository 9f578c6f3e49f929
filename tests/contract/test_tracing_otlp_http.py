"""Our encoder says the same as the SDK's."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from contract import tracing_settings
from contract.tracing import Parent, Span
from contract.tracing_otlp import OtlpOutlet
from contract.tracing_otlp_http import encode


def span(number: int, kind: str, *, parent: Parent | None = None, is_error: bool = False) -> Span:
    made = Span(parent, number << 64 | number, is_sampled=True)
    made.name, made.kind, made.started, made.ended, made.is_error = f"span {number}", kind, 10, 20 + number, is_error
    made.attributes = {"text": "tools/call", "whole": 7, "real": 0.5, "truth": True, "one": 1}
    return made


@pytest.mark.parametrize("kind", ["server", "client", "internal"])
def test_a_batch_reads_as_the_sdks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    settings = tracing_settings.read()
    assert settings
    outlet = OtlpOutlet("sidecar", settings)
    spans = [span(1, kind), span(2, kind, parent=Parent(2 << 64 | 2, 5, True)), span(3, kind, is_error=True)]
    like, *others = (outlet.readable(one) for one in spans)
    ours, theirs = encode(spans, like), encode_spans([like, *others])
    assert ours == theirs
    assert ExportTraceServiceRequest.FromString(ours.SerializePartialToString()) == theirs
    outlet.close(0)
