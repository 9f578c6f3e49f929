"""One tool call through client, sidecar and a real demo agent: one trace, its exemplar, its audit record."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth_sidecar.app import Sidecar
from contract.ports import free_port
from contract.tracing import Tracer, spanning
from demo import wire
from deploy.prepare import prepare
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.issuer import mint
from tests.telemetry.conftest import MakeTracer
from tests.telemetry.otlp import Receiver
from tests.tools import tool

SERVER, CLIENT = 2, 3
SECRET = "planted-secret-4711"


@contextlib.asynccontextmanager
async def demo_agents(folder: Path, endpoint: str) -> AsyncIterator[dict[str, str]]:
    """Run the demo's agents with tracing and yield their addresses."""
    prepare(folder)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.agents", "--secrets", str(folder), "--think-seconds", "0"),
        *("--port", "0", "--control-port", "0"),
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"},
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    try:
        async for line in process.stderr:
            if "agents" in (said := json.loads(line)):
                yield said["agents"]
                break
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def agents(tmp_path: Path, receiver: Receiver) -> AsyncIterator[dict[str, str]]:
    async with demo_agents(tmp_path / "secrets", receiver.url) as running:
        yield running


async def call(
    sidecar: Sidecar, query: object, *, client: Tracer | None = None, message_id: object = 1, **more: str
) -> dict[str, Any]:
    """Call a tool of a demo agent, as a traced client does or as one that knows nothing of traces."""
    with spanning(client, "tools/call search_knowledge", "client"):
        headers, body = wire.request("search_knowledge", {"query": query, "limit": 3}, "test")
        body["id"] = message_id
        headers |= {"Authorization": f"Bearer {mint()}", **more}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{sidecar.url}/kb/mcp", json=body, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            return wire.result(response.content_type, await response.text())


async def traced_sidecar(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, upstream: str, share: float = 1.0
) -> Sidecar:
    return await start_sidecar(upstream, tracer=make_tracer("sidecar", share))


async def metrics(sidecar: Sidecar, accept: str) -> tuple[str, str]:
    async with (
        aiohttp.ClientSession(headers={"Accept": accept}) as session,
        session.get(f"{sidecar.admin_url}/metrics") as response,
    ):
        return response.headers["Content-Type"], await response.text()


def exemplars(text: str, name: str) -> set[str]:
    return set(re.findall(rf'^{name}_bucket{{.*}} \S+ # {{trace_id="([0-9a-f]{{32}})"}}', text, re.MULTILINE))


async def test_a_tool_call_is_one_trace_with_exemplar_and_audit_record(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, agents: dict[str, str], tmp_path: Path
) -> None:
    sidecar = await traced_sidecar(start_sidecar, make_tracer, agents["knowledge_base-1"])
    await call(sidecar, SECRET, client=make_tracer("client"))
    await receiver.until(lambda: len(receiver.named("tools/call search_knowledge")) == 3)
    spans = {span.service: span for span in receiver.named("tools/call search_knowledge")}
    client, middle, agent = spans["client"], spans["sidecar"], spans["agents"]
    assert [client.kind, middle.kind, agent.kind] == [CLIENT, SERVER, SERVER]
    assert {client.trace_id, middle.trace_id, agent.trace_id} == {client.trace_id}
    assert [client.parent_id, middle.parent_id, agent.parent_id] == ["", client.span_id, middle.span_id]
    assert client.started <= middle.started <= agent.started <= agent.ended <= middle.ended <= client.ended
    assert middle.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "search_knowledge",
        "gen_ai.operation.name": "execute_tool",
        "mcp.protocol.version": "2026-07-28",
        "jsonrpc.request.id": "1",
        "network.transport": "tcp",
        "lookout.agent": "kb-1",
        "lookout.agent_type": "knowledge_base",
    }
    kind, text = await metrics(sidecar, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    assert exemplars(text, "mcp_server_operation_duration_seconds") == {client.trace_id}
    assert exemplars(text, "mcp_auth_decision_duration_seconds") == {client.trace_id}
    (record,) = sidecars.records(tmp_path)
    assert record["trace_id"] == client.trace_id


async def test_no_token_argument_or_secret_reaches_the_receiver(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, agents: dict[str, str]
) -> None:
    sidecar = await traced_sidecar(start_sidecar, make_tracer, agents["knowledge_base-1"])
    client = make_tracer("client")
    await call(sidecar, SECRET, client=client)
    token = mint(sub=f"{SECRET}-subject")
    headers = {"baggage": f"key={SECRET}", "Cookie": f"id={SECRET}", "X_Request_Id": SECRET}
    strange = {**sidecars.call(SECRET), "id": f"{SECRET} {SECRET}"}
    assert (await sidecars.post(sidecar, token, strange, **headers))[0] == 403
    assert (await sidecars.post(sidecar, token, {**strange, "method": SECRET}))[0] == 403
    assert (await sidecars.post(sidecar, f"{token}x", sidecars.call(SECRET)))[0] == 401
    assert (await call(sidecar, {SECRET: SECRET}, client=client))["isError"]
    await receiver.until(lambda: len(receiver.named("tools/call search_knowledge", "agents")) == 2)
    await receiver.until(lambda: receiver.named("_OTHER", "sidecar"))
    everything = b"".join(receiver.bodies)
    assert SECRET.encode() not in everything
    assert token.rpartition(".")[2].encode() not in everything


async def test_an_id_that_is_no_number_and_no_uuid_reaches_no_span(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, agents: dict[str, str]
) -> None:
    sidecar = await traced_sidecar(start_sidecar, make_tracer, agents["knowledge_base-1"])
    secrets = [SECRET, "alice-smith", "AKIAIOSFODNN7EXAMPLE", "ssn-078-05-1120"]
    known = "550e8400-e29b-41d4-a716-446655440000"
    for message_id in (*secrets, known, 7):
        await call(sidecar, "x", message_id=message_id)
    await receiver.until(lambda: len(receiver.named("tools/call search_knowledge")) == 12)
    for service in ("sidecar", "agents"):
        shown = [span.attributes for span in receiver.named("tools/call search_knowledge", service)]
        assert {said.get("jsonrpc.request.id") for said in shown} == {None, known, "7"}
    everything = b"".join(receiver.bodies)
    assert not [secret for secret in secrets if secret.encode() in everything]


async def test_a_caller_without_context_in_the_body_is_followed_by_its_header(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, agents: dict[str, str]
) -> None:
    sidecar = await traced_sidecar(start_sidecar, make_tracer, agents["knowledge_base-1"])
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await call(sidecar, "x", traceparent=caller)
    await receiver.until(lambda: len(receiver.named("tools/call search_knowledge")) == 2)
    (middle,), (agent,) = (receiver.named("tools/call search_knowledge", name) for name in ("sidecar", "agents"))
    assert (middle.trace_id, middle.parent_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (agent.trace_id, agent.parent_id) == (middle.trace_id, middle.span_id)


async def test_what_is_not_sampled_stays_so_behind(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, agents: dict[str, str], tmp_path: Path
) -> None:
    sidecar = await traced_sidecar(start_sidecar, make_tracer, agents["knowledge_base-1"], share=0.0)
    await call(sidecar, "x", client=make_tracer("client", 0.0))
    await call(sidecar, "x")
    assert (await metrics(sidecar, "application/openmetrics-text"))[1].count("trace_id=") == 0
    assert all("trace_id" not in record for record in sidecars.records(tmp_path))
    await call(sidecar, "x", client=make_tracer("client"))
    await receiver.until(lambda: len(receiver.spans) >= 3)
    assert {span.trace_id for span in receiver.spans} == {receiver.spans[0].trace_id}


async def test_a_refusal_of_a_known_caller_is_a_span_and_of_an_unknown_one_is_not(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(tracer=make_tracer("sidecar"))
    await sidecars.post(sidecar, mint(key_id="other"), sidecars.call("search_knowledge"))
    await sidecars.post(sidecar, mint(), sidecars.call("delete_everything"))
    await receiver.until(lambda: receiver.spans)
    (span,) = receiver.spans
    assert span.name == "tools/call"
    assert span.attributes["error.type"] == span.attributes["lookout.auth.reason"] == "no_permission"
    unknown, known = sidecars.records(tmp_path)
    assert (unknown.get("trace_id"), known["trace_id"]) == (None, span.trace_id)


async def test_a_record_that_names_a_trace_leads_to_one_though_its_client_left(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(tracer=make_tracer("sidecar"))
    body = json.dumps(sidecars.call("delete_everything"))
    head = f"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {mint()}\r\n"
    head += f"Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for ticks in range(60):
        _, writer = await asyncio.open_connection("127.0.0.1", int(sidecar.url.rpartition(":")[2]))
        writer.write(f"{head}{body}".encode())
        for _ in range(ticks):
            await asyncio.sleep(0)
        writer.transport.abort()

    def leads() -> bool:
        named = {record["trace_id"] for record in sidecars.records(tmp_path) if "trace_id" in record}
        return len(named) > 10 and named <= {span.trace_id for span in receiver.spans}

    await receiver.until(leads)


async def test_forward_auth_traces_its_decision(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(tracer=make_tracer("sidecar"), forward_auth={"port": 0})
    asked = {
        "Authorization": f"Bearer {mint()}",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": "/kb/mcp",
        "X-Forwarded-Host": "localhost",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    async with aiohttp.ClientSession() as session, session.get(sidecar.forward_url, headers=asked) as response:
        assert response.status in (200, 403)
    await receiver.until(lambda: receiver.spans)
    (span,) = receiver.spans
    assert (span.name, span.parent_id) == ("authorize http/get", "b7ad6b7169203331")
    assert sidecars.records(tmp_path)[0]["trace_id"] == span.trace_id


async def test_prometheus_stores_the_exemplar_of_a_call(
    start_sidecar: sidecars.Start, make_tracer: MakeTracer, receiver: Receiver, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(tracer=make_tracer("sidecar"))
    await sidecars.post(sidecar, mint(), sidecars.call("search_knowledge"))
    await receiver.until(lambda: receiver.spans)
    config, port = tmp_path / "prometheus.yml", free_port()
    target = sidecar.admin_url.removeprefix("http://")
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: sidecar, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [
        *(str(tool("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"),
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api/v1/query_exemplars"
    query = {"query": "mcp_server_operation_duration_seconds_bucket", "start": "0", "end": "9999999999"}
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while not (found := await exemplars_of(session, url, query)):
                await asyncio.sleep(0.2)
    finally:
        process.terminate()
        await process.wait()
    assert found == {receiver.spans[0].trace_id}


async def exemplars_of(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> set[str]:
    try:
        async with session.get(url, params=query) as response:
            data = (await response.json())["data"]
    except aiohttp.ClientError:
        return set()
    return {exemplar["labels"]["trace_id"] for series in data for exemplar in series["exemplars"]}
