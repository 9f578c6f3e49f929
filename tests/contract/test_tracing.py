"""Traces reach an OTLP receiver as one tree; without an endpoint nothing is imported and nothing happens."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from contract import tracing
from contract.web import Server, serve

PROGRAM = """
import io, json
from contract import log, tracing
stream = io.StringIO()
log.setup("exporter", stream=stream)
tracing.setup("exporter")
caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
with tracing.span("tools/call create_plan", kind="server", carrier=caller, mcp_method_name="tools/call"):
    with tracing.span("upstream", kind="client"):
        import logging
        logging.getLogger("x").info("inside")
        print(tracing.inject({})["traceparent"])
print(json.loads(stream.getvalue())["trace_id"])
"""


@pytest.fixture
def received() -> list[ExportTraceServiceRequest]:
    return []


@pytest.fixture
async def receiver(received: list[ExportTraceServiceRequest]) -> AsyncIterator[Server]:
    async def traces(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    server = await serve(app)
    yield server
    await server.close()


async def run(program: str, **environ: str) -> tuple[int, str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env={**quiet, **environ}, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_spans_arrive_as_one_trace_under_the_callers(
    receiver: Server, received: list[ExportTraceServiceRequest]
) -> None:
    code, out = await run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert code == 0
    resource = received[0].resource_spans[0]
    child, parent = resource.scope_spans[0].spans
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "exporter"
    assert parent.name == "tools/call create_plan"
    assert parent.parent_span_id.hex() == "b7ad6b7169203331"
    assert child.parent_span_id == parent.span_id
    assert child.trace_id.hex() == parent.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    injected, logged = out.split()
    assert child.span_id.hex() in injected
    assert logged == child.trace_id.hex()


async def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    program = PROGRAM.replace('["traceparent"]', "").replace('["trace_id"]', '.get("trace_id")')
    code, out = await run(program + "import sys; print('opentelemetry' in sys.modules)")
    assert (code, out.split()) == (0, ["{}", "None", "False"])


async def test_an_endpoint_that_is_down_ends_nothing(unused_tcp_port: int) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{unused_tcp_port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    code, _ = await run(PROGRAM, **environ)
    assert code == 0


def test_an_endpoint_for_traces_alone_is_enough() -> None:
    assert tracing.is_enabled({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"})
    assert not tracing.is_enabled({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
