"""Our encoder says the same as the SDK's."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from contract import tracing_settings
from contract.tracing import Parent, Span
from contract.tracing_otlp import OtlpOutlet
from contract.tracing_otlp_encoding import Envelope, encode


def span(number: int, kind: str, *, parent: Parent | None = None, is_error: bool = False) -> Span:
    made = Span(parent, number << 64 | number, is_sampled=True)
    made.name, made.kind, made.started, made.ended, made.is_error = f"span {number}", kind, 10, 20 + number, is_error
    made.attributes = {"text": "tools/call", "whole": 7, "real": 0.5, "truth": True, "one": 1}
    made.attributes |= {f"long {length}": "x" * length for length in (120, 128, 20_000)}
    return made


@pytest.mark.parametrize("kind", ["server", "client", "internal"])
def test_a_batch_reads_as_the_sdks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    settings = tracing_settings.read()
    assert settings
    outlet = OtlpOutlet("sidecar", settings)
    spans = [span(1, kind), span(2, kind, parent=Parent(2 << 64 | 2, 5, True)), span(3, kind, is_error=True)]
    readable = [outlet.readable(one) for one in spans]
    ours = Envelope(outlet.readable(spans[0])).around(map(encode, spans))
    assert ExportTraceServiceRequest.FromString(ours) == encode_spans(readable)
    outlet.close(0)
