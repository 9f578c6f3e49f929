"""An endpoint that answers badly, or never ends, costs its spans, and nothing else; each is counted."""

import itertools
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, TraceState
from prometheus_client import CollectorRegistry

from contract import tracing, tracing_settings
from contract.instruments import Instruments
from contract.tracing import Span
from contract.tracing_otlp import OtlpOutlet
from contract.tracing_otlp_http import Outcome
from tests.telemetry.otlp import decoded

SECONDS = 0.7
"""What a batch may take in these tests."""
Answering = Callable[[socket.socket], None]


@dataclass
class Endpoint:
    """An endpoint that speaks for itself: `answering` has the connection once a request has come."""

    answering: Answering
    requests: list[bytes] = field(default_factory=list)
    sent_bytes: int = 0

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.requests.append(request(connection))
            self.answering(connection)


def request(connection: socket.socket) -> bytes:
    """Read a request with all of its body."""
    said, length = b"", 0
    while not said.partition(b"\r\n\r\n")[1] or len(said.partition(b"\r\n\r\n")[2]) < length:
        said += (more := connection.recv(1 << 16))
        if not more:
            break
        length = int((re.findall(rb"(?i)content-length: (\d+)", said) or [b"0"])[0])
    return said


@contextmanager
def endpoint(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Run an endpoint that is named in this process' environment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(round(SECONDS * 1000)))
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        running = Endpoint(answering)
        threading.Thread(target=running.serve, args=(listener,), daemon=True).start()
        yield running


def saying(head: str, body: bytes = b"") -> Answering:
    answer = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    return lambda connection: connection.sendall(answer)


def without_end(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def dripping(start: bytes) -> Answering:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        for letter in itertools.cycle(b"x"):
            connection.sendall(bytes([letter]))
            time.sleep(0.02)

    return drip


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def send_one() -> tuple[dict[str, float], float]:
    """Send a span and return what was counted, and how long its batch took at most."""
    tracer = tracing.setup("sidecar")
    assert tracer
    instruments = Instruments(CollectorRegistry(), "sidecar")
    tracer.outlet.count_on(instruments)
    with tracer.span("x"):
        pass
    began = time.monotonic()
    tracer.close(5)
    took = time.monotonic() - began
    value = instruments.registry.get_sample_value
    results = ("exported", "export_failed", "queue_full")
    named = {r: value("mcp_trace_spans_total", {"service": "sidecar", "result": r}) for r in results}
    return {result: count for result, count in named.items() if count}, took


@pytest.mark.parametrize(
    ("answering", "reason"),
    [
        (saying("302 Found\r\nLocation: /elsewhere"), "the endpoint answers 302, and redirects are not followed"),
        (saying("308 Permanent Redirect\r\nLocation: /elsewhere"), "the endpoint answers 308, and redirects"),
        (saying("400 Bad Request"), "the endpoint answers 400"),
        (saying("503 Unavailable\r\nRetry-After: 86400"), "the endpoint answers 503"),
        (saying("100 Continue"), "ServerDisconnectedError"),
        (lambda connection: connection.sendall(b"\x00\xff" * 5000), "ClientResponseError"),
        (without_end, "the answer is longer than 65536 bytes"),
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), "no answer in time"),
        (dripping(b"HTTP/1.1 200 OK\r\nX: "), "no answer in time"),
        (silent, "no answer in time"),
    ],
    ids=["302", "308", "400", "503", "100", "garbage", "without end", "dripped body", "dripped header", "silent"],
)
def test_a_bad_answer_costs_its_spans_in_bounded_time_and_tells_why(
    answering: Answering, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint(answering, monkeypatch) as running, caplog.at_level(logging.WARNING):
        counted, took = send_one()
    assert counted == {"export_failed": 1}
    assert took < SECONDS + 1
    (record,) = [record for record in caplog.records if record.message == "spans were not taken"]
    assert str(vars(record)["problem"]).startswith(reason)
    assert all(request.startswith(b"POST /v1/traces ") for request in running.requests)


def test_an_answer_without_end_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = 0

    def push(connection: socket.socket) -> None:
        nonlocal pushed
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            pushed += connection.send(b"x" * 65536)

    with endpoint(push, monkeypatch):
        send_one()
    assert 65536 <= pushed < 16 << 20  # what is read, and what the buffers of two sockets take


def test_an_answer_that_comes_after_a_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([saying("503 Unavailable"), saying("200 OK")])
    with endpoint(lambda connection: next(answers)(connection), monkeypatch) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "4000")
        assert send_one()[0] == {"exported": 1}
    assert len(running.requests) == 2


def test_spans_that_the_endpoint_rejects_are_not_counted_as_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with endpoint(saying("200 OK", body), monkeypatch):
        settings = tracing_settings.read()
        assert settings
        outlet = OtlpOutlet("sidecar", settings)
        spans = [Span(None, number, is_sampled=True) for number in (1, 2, 3)]
        for span in spans:
            span.kind = "server"
        assert outlet.sender.send([outlet.sender.queued(span) for span in spans]) == Outcome(2, "too old")
        outlet.close(0)


def test_a_proxy_of_the_environment_is_used_unless_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(saying("200 OK"), monkeypatch) as running:
        proxy = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
        assert send_one()[0] == {"exported": 1}
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", proxy)
        assert send_one()[0] == {"exported": 1}
    lines = [request.partition(b" HTTP/")[0] for request in running.requests]
    assert lines == [b"POST http://collector.example:4318/v1/traces", b"POST /v1/traces"]


def test_a_span_that_cannot_be_encoded_is_counted_and_nobody_else_notices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint(saying("200 OK"), monkeypatch):
        tracer = tracing.setup("sidecar")
        assert tracer
        instruments = Instruments(CollectorRegistry(), "sidecar")
        tracer.outlet.count_on(instruments)
        with tracer.span("x", agent="lone \udc80"):
            pass
        with tracer.span("y"):
            pass
        tracer.close(5)
    assert [record.message for record in caplog.records] == ["a span cannot be encoded"]
    labels = {"service": "sidecar", "result": "export_failed"}
    assert instruments.registry.get_sample_value("mcp_trace_spans_total", labels) == 1
    assert instruments.registry.get_sample_value("mcp_trace_spans_total", {**labels, "result": "exported"}) == 1


def test_spans_of_libraries_and_our_own_travel_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(saying("200 OK"), monkeypatch) as running:
        settings = tracing_settings.read()
        assert settings
        outlet = OtlpOutlet("agents", settings)
        made = Span(None, 7, is_sampled=True)
        made.name, made.kind = "ours", "server"
        assert outlet.sender.send([outlet.readable(made), outlet.sender.queued(made)]) == Outcome(0)
        outlet.close(0)
    body = running.requests[0].partition(b"\r\n\r\n")[2]
    assert [span.name for span in decoded(body)] == ["ours", "ours"]


def test_of_a_librarys_span_no_words_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(saying("200 OK"), monkeypatch) as running:
        settings = tracing_settings.read()
        assert settings
        outlet = OtlpOutlet("agents", settings)
        state = TraceState([("vendor", "secret-state")])
        context = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
        outlet.on_end(
            ReadableSpan(
                "tools/call x", context, context, attributes={"jsonrpc.request.id": "secret-id"},
                events=[Event("exception", {"exception.message": "secret-event"})],
                status=Status(StatusCode.ERROR, "secret-status"),
            )
        )  # fmt: skip
        outlet.close(5)
    body = running.requests[0].partition(b"\r\n\r\n")[2]
    assert [span.name for span in decoded(body)] == ["tools/call x"]
    assert b"secret" not in body


def test_a_batch_that_was_accepted_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    with endpoint(lambda connection: connection.sendall(cut), monkeypatch) as running:
        assert send_one()[0] == {"exported": 1}
    assert len(running.requests) == 1


@pytest.mark.parametrize(
    "first",
    [*(saying(f"{status} X\r\nRetry-After: 1") for status in (429, 502, 503, 504)), lambda connection: None],
    ids=["429", "502", "503", "504", "lost connection"],
)
def test_what_may_pass_is_tried_again(first: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([first, saying("200 OK")])
    with endpoint(lambda connection: next(answers)(connection), monkeypatch) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5000")
        assert send_one()[0] == {"exported": 1}
    assert len(running.requests) == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/?key=secret", "http://a..b:{port}/?key=secret"])
def test_a_log_line_is_short_and_has_not_the_address(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint(lambda connection: connection.sendall(b"\x00\xff" * 50_000), monkeypatch):
        port = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address.format(port=port))
        assert send_one()[0] == {"export_failed": 1}
    (record,) = caplog.records
    assert len(str(vars(record))) < 2000
    assert "secret" not in str(vars(record))


def test_headers_and_compression_are_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with endpoint(saying("200 OK"), monkeypatch) as running:
        assert send_one()[0] == {"exported": 1}
    (request,) = running.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert {b"authorization: Bearer t", b"content-encoding: gzip"} <= set(head.split(b"\r\n"))
    assert body.startswith(b"\x1f\x8b")


def test_what_cannot_be_used_is_warned_about_and_the_service_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint(saying("200 OK"), monkeypatch):
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "0")
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc")
        with caplog.at_level(logging.WARNING):
            tracer = tracing.setup("agents")
        assert tracer
        tracer.close(1)
    told = {str(vars(record)["problem"]).partition(":")[0] for record in caplog.records}
    assert told == {"OTEL_BSP_SCHEDULE_DELAY", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"}


class Collector(TraceServiceServicer):
    def __init__(self) -> None:
        self.headers: dict[str, Any] = {}

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        self.headers = dict(context.invocation_metadata())
        return ExportTraceServiceResponse()


def test_grpc_takes_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    server, collector = grpc.server(ThreadPoolExecutor(1)), Collector()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "700")
    server.start()
    assert send_one()[0] == {"exported": 1}
    assert collector.headers["authorization"] == "Bearer t"
    server.stop(0).wait()
    assert send_one()[0] == {"export_failed": 1}
