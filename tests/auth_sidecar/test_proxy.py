"""The reverse proxy with real servers behind: both eras, streams, cancellation, what crosses and what does not."""

import asyncio
import json
import statistics
import time
from pathlib import Path

import aiohttp
import httpx2
import pytest
from aiohttp import web
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from auth_sidecar import proxy
from auth_sidecar.app import Sidecar
from tests.auth_sidecar.agents import Echo, sdk_server
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, call, post, records, samples


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
async def test_an_sdk_client_works_through_the_sidecar_in_both_eras(start_sidecar: Start, mode: str) -> None:
    async with sdk_server() as upstream:
        sidecar = await start_sidecar(upstream)
        headers = {"Authorization": f"Bearer {mint()}"}
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(f"{sidecar.url}/kb/mcp", http_client=http)
            async with Client(transport, mode=mode, cache=None) as client:
                result = await client.call_tool("search_knowledge", {"query": "x"})
                assert isinstance(result.content[0], TextContent)
                assert result.content[0].text == "found x"
                assert (await client.call_tool("broken", {})).is_error
    name = "mcp_server_operation_duration_seconds_count"
    version = {"legacy": "2025-11-25"}.get(mode, "2026-07-28")
    labels = {"agent_type": "knowledge_base", "mcp_method_name": "tools/call", "mcp_protocol_version": version}
    assert samples(sidecar.registry, name, gen_ai_tool_name="search_knowledge", error_type="", **labels) == 1
    assert samples(sidecar.registry, name, gen_ai_tool_name="broken", error_type="tool_error", **labels) == 1


async def test_the_server_behind_sees_who_calls_and_no_token(sidecar: Sidecar, echo: Echo) -> None:
    token = mint()
    forged = {"X_Auth_Subject": "root", "X-Auth-Roles": "system_admin", "X-Forwarded-For": "8.8.8.8"}
    status, _, _ = await post(sidecar, token, call("search_knowledge"), **forged)
    assert status == 200
    headers = echo.seen[0]["headers"]
    assert "Authorization" not in headers
    assert headers.getall("X-Auth-Subject") == ["workflow-engine"]
    assert headers.getall("X-Auth-Roles") == ["workflow_operator,agent_service"]
    assert headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert headers["Host"] == echo.url.split("/")[2]
    assert token not in str(echo.seen)


async def test_a_denied_call_never_reaches_the_server_behind(sidecar: Sidecar, echo: Echo, tmp_path: Path) -> None:
    status, headers, body = await post(sidecar, mint(), call("delete_everything"))
    assert (status, echo.seen) == (403, [])
    assert json.loads(body)["error"]["data"] == {"error": "access_denied"}
    assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
    (record,) = records(tmp_path)
    assert (record["event"], record["reason"], record["name"]) == ("authz_deny", "no_permission", "delete_everything")


async def test_a_request_without_token_is_challenged_without_an_error(sidecar: Sidecar) -> None:
    status, headers, _ = await post(sidecar, None, call("search_knowledge"))
    assert status == 401
    expected = 'Bearer resource_metadata="http://localhost:9819/.well-known/oauth-protected-resource/kb/mcp"'
    assert headers["WWW-Authenticate"] == expected


@pytest.mark.parametrize("path", ["", "/kb/mcp"])
async def test_the_metadata_document_needs_no_token(sidecar: Sidecar, path: str) -> None:
    url = f"{sidecar.url}/.well-known/oauth-protected-resource{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        document = await response.json()
    assert document["resource"] == "http://localhost:9819"
    assert document["authorization_servers"] == ["http://idp.test"]
    assert document["bearer_methods_supported"] == ["header"]


async def test_there_is_metadata_only_of_what_there_is(sidecar: Sidecar) -> None:
    url = f"{sidecar.url}/.well-known/oauth-protected-resource"
    async with aiohttp.ClientSession() as session:
        statuses = [(await session.get(url + path)).status for path in ("/", "/kb/mcp/", "/no/such", "/kb", "x")]
    assert statuses == [200, 200, 401, 401, 401]


async def test_events_pass_as_they_come(sidecar: Sidecar, echo: Echo) -> None:
    gate = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        await response.write(b": keep-alive\n\ndata: 1\n\n")
        await gate.wait()
        await response.write(b"data: 2\n\n")
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sidecar.url}/kb/mcp", json=call("search_knowledge"), headers=headers) as response,
    ):
        assert response.headers["X-Accel-Buffering"] == "no"
        async with asyncio.timeout(5):
            assert await response.content.readexactly(23) == b": keep-alive\n\ndata: 1\n\n"
            gate.set()
            assert await response.content.read() == b"data: 2\n\n"


async def test_events_keep_their_spacing(sidecar: Sidecar, echo: Echo) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(20):
            await asyncio.sleep(0.02)  # this is what is measured
            await response.write(f"data: {time.monotonic()}\n\n".encode())
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}"}
    late = []
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sidecar.url}/kb/mcp", json=call("search_knowledge"), headers=headers) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: "):
                late.append(time.monotonic() - float(line[6:]))
    assert len(late) == 20
    assert statistics.median(late) < 0.01  # half the spacing: none waits for the next


async def _hang_up(
    sidecar: Sidecar, echo: Echo, *, has_begun: bool, **headers: str
) -> tuple[asyncio.Event, asyncio.Event, asyncio.Event]:
    """Start a request, hang up before or after the answer has begun, and return (cancelled, finish, ended)."""
    cancelled, finish, ended, started = (asyncio.Event() for _ in range(4))

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if has_begun:
            await response.prepare(request)
            await response.write(b": hello\n\n")
        started.set()
        try:
            await finish.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        ended.set()
        return response

    echo.answer = slow
    meta = {"io.modelcontextprotocol/protocolVersion": headers["MCP-Protocol-Version"]}
    message = call("search_knowledge", params={"name": "search_knowledge", "_meta": meta})
    all_headers = {"Authorization": f"Bearer {mint()}", **headers}
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(session.post(f"{sidecar.url}/kb/mcp", json=message, headers=all_headers))
        await started.wait()
        if has_begun:
            assert (await asking).status == 200
            asking.result().close()
        else:
            asking.cancel()
            await asyncio.wait([asking])
    return cancelled, finish, ended


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_modern_client_that_leaves_cancels_upstream_within_a_second(
    sidecar: Sidecar, echo: Echo, has_begun: bool
) -> None:
    modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "search_knowledge"}
    cancelled, _, _ = await _hang_up(sidecar, echo, has_begun=has_begun, **modern)
    async with asyncio.timeout(1):
        await cancelled.wait()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_legacy_client_that_leaves_cancels_nothing(sidecar: Sidecar, echo: Echo, has_begun: bool) -> None:
    legacy = {"MCP-Protocol-Version": "2025-11-25"}
    cancelled, finish, ended = await _hang_up(sidecar, echo, has_begun=has_begun, **legacy)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await cancelled.wait()
    finish.set()
    async with asyncio.timeout(5):
        await ended.wait()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_clients_that_leave_do_not_keep_answers_open_without_bound(
    sidecar: Sidecar, echo: Echo, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    monkeypatch.setattr(proxy, "MAX_DRAINING", 0)
    legacy = {"MCP-Protocol-Version": "2025-11-25"}
    cancelled, _, _ = await _hang_up(sidecar, echo, has_begun=has_begun, **legacy)
    async with asyncio.timeout(1):
        await cancelled.wait()


async def test_session_and_resumption_headers_cross_both_ways(sidecar: Sidecar, echo: Echo) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        headers = {"Mcp-Session-Id": "abc", "Content-Type": "text/event-stream"}
        return web.Response(headers=headers, body=b"id: 7\ndata: 1\n\n")

    echo.answer = answer
    headers = {"Authorization": f"Bearer {mint()}", "Mcp-Param-Region": "eu"}
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(f"{sidecar.url}/kb/mcp?x=1", headers=headers) as response:
                assert response.headers["Mcp-Session-Id"].startswith("abc.")
                first, _, rest = (await response.read()).partition(b"\n")
                assert (first[:6], rest) == (b"id: 7.", b"data: 1\n\n")
                headers["Last-Event-ID"] = first[4:].decode()
    assert [request["headers"].get("Last-Event-ID") for request in echo.seen] == [None, "7"]
    seen = echo.seen[1]
    assert (seen["method"], seen["path"], seen["headers"]["Mcp-Param-Region"]) == ("GET", "/mcp?x=1", "eu")


async def test_an_upstream_that_is_down_is_a_502_in_json_rpc(start_sidecar: Start) -> None:
    sidecar = await start_sidecar("http://127.0.0.1:1/mcp")
    status, _, body = await post(sidecar, mint(), call("search_knowledge"))
    assert status == 502
    assert json.loads(body)["id"] == 1


async def test_an_upstream_that_does_not_answer_is_a_504(start_sidecar: Start, echo: Echo) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    echo.answer = never
    sidecar = await start_sidecar(upstream=echo.url)
    sidecar.proxy.upstream = sidecar.proxy.upstream.model_copy(update={"response_timeout": 0.1})
    status, _, body = await post(sidecar, mint(), call("search_knowledge"))
    assert (status, json.loads(body)["error"]["code"]) == (504, 504)


async def test_an_answer_that_is_cut_off_behind_is_cut_off_in_front(sidecar: Sidecar, echo: Echo) -> None:
    async def killed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport
        request.transport.abort()
        return response

    echo.answer = killed
    with pytest.raises(aiohttp.ClientError):
        await post(sidecar, mint(), call("search_knowledge"))
    name = "mcp_server_operation_duration_seconds_count"
    assert samples(sidecar.registry, name, error_type="upstream_closed") == 1


async def test_a_thousand_streams_stay_open_at_once(sidecar: Sidecar, echo: Echo) -> None:
    finish = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        await finish.wait()
        await response.write(b"data: end\n\n")
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}", "Accept": "text/event-stream"}

    # Not all at once: on a busy machine the last would wait longer than a connection may take.
    opening, opened = asyncio.Semaphore(50), []

    async def listen(session: aiohttp.ClientSession) -> bytes:
        async with opening:
            response = await session.get(f"{sidecar.url}/kb/mcp", headers=headers)
            await response.content.readuntil(b"\n\n")
        opened.append(response.status)
        if len(opened) == 1000:
            finish.set()
        return await response.read()

    async with asyncio.timeout(120), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ends = await asyncio.gather(*(listen(session) for _ in range(1000)))
    assert set(opened) == {200}
    assert set(ends) == {b"data: end\n\n"}


async def test_a_reload_drops_no_stream_and_changes_what_comes_after(
    sidecar: Sidecar, echo: Echo, tmp_path: Path
) -> None:
    finish = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        await finish.wait()
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}"}
    roles = tmp_path / "roles.yaml"
    async with aiohttp.ClientSession() as session, session.get(f"{sidecar.url}/kb/mcp", headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        roles.write_text("roles:\n  agent_service:\n    permissions: [other:thing]\n    colour: red\n")
        async with session.post(f"{sidecar.admin_url}/-/reload") as refused:
            assert refused.status == 500
            assert "colour: unknown key" in await refused.text()
        assert samples(sidecar.registry, "mcp_config_last_reload_successful") == 0
        roles.write_text("roles:\n  agent_service:\n    permissions: [other:thing]\n")
        async with session.post(f"{sidecar.admin_url}/-/reload") as accepted:
            assert accepted.status == 200
        finish.set()
        assert await response.content.read() == b""
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 403
