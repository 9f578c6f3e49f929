"""The exporter's probes and readings are traces, their latency has exemplars, and OpenMetrics has every series."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from contract.instruments import Instruments
from contract.web import Reloader, serve
from exporter.app import make_app
from exporter.clients import open_session
from exporter.config import ExporterConfig
from exporter.config_check import load
from exporter.service import Exporter
from tests.auth_sidecar.agents import sdk_server
from tests.telemetry.conftest import MakeTracer
from tests.telemetry.otlp import Receiver

ACCEPT = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
"""What Prometheus asks with."""


@pytest.fixture
async def agent() -> AsyncIterator[str]:
    async with sdk_server() as url:
        yield url


async def test_a_probe_is_a_trace_and_the_exemplar_of_its_latency(
    make_tracer: MakeTracer, receiver: Receiver, agent: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("exporter") / "exporter.yaml"
    file.write_text(
        "agents:\n"
        f"  - {{name: docs, type: documentation, url: '{agent}', interval: 1h}}\n"
        "  - {name: gone, type: planner, url: 'http://127.0.0.1:9/mcp', interval: 1h}\n"
        "workflow_sources: [{name: engine, url: 'http://127.0.0.1:9/workflows', interval: 1h}]\n"
    )
    instruments = Instruments(CollectorRegistry(), "exporter")
    tracer = make_tracer("exporter")
    tracer.outlet.count_on(instruments)
    reloader: Reloader[ExporterConfig] = Reloader(lambda: load(file), instruments)
    async with open_session() as session:
        exporter = Exporter(reloader.current, session, instruments, tracer=tracer)
        server = await serve(make_app(exporter, instruments, reloader))
        await exporter.start()
        try:
            async with asyncio.timeout(20):
                while not exporter.is_ready():
                    await asyncio.sleep(0.02)
            async with aiohttp.ClientSession(headers=ACCEPT) as client, client.get(f"{server.url}/metrics") as response:
                text = await response.text()
        finally:
            await exporter.close()
            await server.close()
    await receiver.until(lambda: len(receiver.named("probe mcp")) == 2 and receiver.named("read workflow source"))
    spans = {span.attributes["lookout.agent"]: span for span in receiver.named("probe mcp")}
    well, gone = spans["docs"], spans["gone"]
    (discovery,) = [span for span in receiver.named("server/discover") if span.trace_id == well.trace_id]
    assert discovery.parent_id == well.span_id
    assert discovery.attributes["mcp.protocol.version"] == "2026-07-28"
    assert discovery.attributes["http.response.status_code"] == 200
    assert discovery.attributes["server.address"] == "127.0.0.1"
    assert discovery.attributes["server.port"] == int(agent.split(":")[2].partition("/")[0])
    assert not [
        name for span in receiver.spans for name in span.attributes if name.startswith(("client.", "network.peer."))
    ]
    assert gone.attributes["error.type"] == gone.attributes["lookout.probe.outcome"] == "connect_error"
    families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    seen = {s.exemplar.labels["trace_id"] for s in families["mcp_agent_probe_latency_seconds"].samples if s.exemplar}
    assert seen == {well.trace_id, gone.trace_id}
    assert {"mcp_workflow_runs", "mcp_agent_up", "mcp_trace_spans"} <= set(families)
