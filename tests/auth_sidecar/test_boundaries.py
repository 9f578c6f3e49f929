"""What the proxy refuses before or instead of passing on: sessions, lists, bodies, headers, origins, paths."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from auth_sidecar.app import Sidecar
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.raw import exchange, request_of
from tests.auth_sidecar.sidecars import Start, call, post, records, samples
from tests.auth_sidecar.test_cases import modern

TOOLS = [{"name": name} for name in ("delete_everything", "search_knowledge", "unheard_of", "create_plan")]
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


async def test_a_session_of_another_principal_is_not_found(sidecar: Sidecar, echo: Echo, tmp_path: Path) -> None:
    async def initialized(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"Mcp-Session-Id": "s-1"})

    echo.answer = initialized
    _, headers, _ = await post(sidecar, mint(), {"jsonrpc": "2.0", "id": 1, "method": "initialize"})
    session = headers["Mcp-Session-Id"]
    assert (await post(sidecar, mint(), call("search_knowledge"), **{"Mcp-Session-Id": session}))[0] == 200
    foreign = mint(sub="somebody-else")
    assert (await post(sidecar, foreign, call("search_knowledge"), **{"Mcp-Session-Id": session}))[0] == 404
    assert (await post(sidecar, mint(), call("search_knowledge"), **{"Mcp-Session-Id": "s-1"}))[0] == 404
    assert [request["headers"].get("Mcp-Session-Id") for request in echo.seen] == [None, "s-1"]
    assert [record["reason"] for record in records(tmp_path)] == ["ok", "ok", "no_permission", "no_permission"]


@pytest.mark.parametrize("form", ["json", "events"])
async def test_a_list_shows_only_what_the_caller_may_use(sidecar: Sidecar, echo: Echo, form: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS, "cacheScope": "public", "nextCursor": "c"}}

    async def listed(_request: web.Request) -> web.StreamResponse:
        if form == "json":
            return web.json_response(message)
        text = f": ping\n\nevent: message\nretry: 3\ndata: {json.dumps(message)}\n\n"
        return web.Response(text=text, content_type="text/event-stream")

    echo.answer = listed
    _, _, body = await post(sidecar, mint(), LIST, Accept_Encoding="gzip")
    text = body.decode()
    if form == "events":
        assert text.startswith(": ping\n\nevent: message\nretry: 3\ndata: ")
        text = text.partition("data: ")[2]
    result = json.loads(text)["result"]
    assert [tool["name"] for tool in result["tools"]] == ["search_knowledge", "create_plan"]
    assert (result["cacheScope"], result["nextCursor"]) == ("private", "c")
    assert samples(sidecar.registry, "mcp_auth_hidden_items_total", kind="tools") == 2
    assert "Accept-Encoding" not in echo.seen[0]["headers"]


async def test_lists_and_calls_agree(sidecar: Sidecar, echo: Echo) -> None:
    async def listed(request: web.Request) -> web.StreamResponse:
        is_list = (await request.json())["method"] == "tools/list"
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS} if is_list else {}})

    echo.answer = listed
    for roles in (["system_admin"], ["workflow_viewer"], ["agent_service"], ["workflow_manager", "agent_service"], []):
        token = mint(roles=roles)
        shown = {tool["name"] for tool in json.loads((await post(sidecar, token, LIST))[2])["result"]["tools"]}
        callable_ = {tool["name"] for tool in TOOLS if (await post(sidecar, token, call(tool["name"])))[0] == 200}
        assert shown == callable_


async def test_a_list_that_cannot_be_read_does_not_pass(sidecar: Sidecar, echo: Echo) -> None:
    async def broken(_request: web.Request) -> web.StreamResponse:
        return web.Response(text='{"result": {"tools": [', content_type="application/json")

    async def broken_stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"result": {"tools": [')
        return response

    echo.answer = broken
    assert (await post(sidecar, mint(), LIST))[0] == 502
    echo.answer = broken_stream
    with pytest.raises(aiohttp.ClientError):
        await post(sidecar, mint(), LIST)


async def test_shadow_mode_lets_pass_and_counts_what_it_would_deny(
    start_sidecar: Start, echo: Echo, tmp_path: Path
) -> None:
    route = {"path": "/kb/mcp", "agent": "kb-1", "agent_type": "knowledge_base", "upstream": echo.url, "shadow": True}
    sidecar = await start_sidecar(routes=[route])
    assert (await post(sidecar, mint(roles=[]), call("search_knowledge")))[0] == 200
    assert (await post(sidecar, mint(), call("unheard_of")))[0] == 200
    assert (await post(sidecar, None, call("search_knowledge")))[0] == 401
    assert (await post(sidecar, mint(), b"[]"))[0] == 400
    name = "mcp_auth_shadow_denials_total"
    assert samples(sidecar.registry, name, reason="no_permission", role="none") == 1
    assert samples(sidecar.registry, name, reason="unmapped_operation", role="none") == 1
    assert samples(sidecar.registry, "mcp_auth_fail_open_total", control="authorization") == 2
    assert [record.get("shadow") for record in records(tmp_path)] == ["no_permission", "unmapped_operation", None, None]


GOOD, HEADERS = modern("search_knowledge")


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"[]", {}, 400, "unmapped_operation"),
        (json.dumps([call("search_knowledge")]).encode(), {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","name":"b"}}', {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"2.0","id":1,"method":["ping"]}', {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"2.0","id":1,"method":"http/get"}', {}, 400, "unmapped_operation"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}', {}, 400, "unmapped_operation"),
        (b"\xff\xfe", {}, 400, "unmapped_operation"),
        (b"", {}, 400, "unmapped_operation"),
        (b"[" * 100_000, {}, 400, "unmapped_operation"),
        (b" " * (5 << 20), {}, 413, "unmapped_operation"),
        (GOOD, {**HEADERS, "Mcp-Name": "create_plan"}, 400, "header_mismatch"),
        (GOOD, {**HEADERS, "Mcp-Method": "ping"}, 400, "header_mismatch"),
        (GOOD, {**HEADERS, "Mcp-Name": "=?base64?Y3JlYXRlX3BsYW4=?="}, 400, "header_mismatch"),
        (GOOD, {**HEADERS, "Mcp-Name": "=?base64?***?="}, 400, "header_mismatch"),
        (GOOD, {"MCP-Protocol-Version": "2026-07-28"}, 400, "header_mismatch"),
        (GOOD, {**HEADERS, "MCP-Protocol-Version": "2025-11-25"}, 400, "header_mismatch"),
        (GOOD, {}, 400, "header_mismatch"),
        (call("search_knowledge"), {"Mcp-Method": "ping"}, 400, "header_mismatch"),
        (GOOD, {**HEADERS, "Mcp-Name": "=?base64?c2VhcmNoX2tub3dsZWRnZQ==?="}, 200, "ok"),
    ],
)
async def test_what_cannot_be_read_in_one_way_is_refused(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, body: Any, headers: dict[str, str], status: int, reason: str
) -> None:
    answered, _, _ = await post(sidecar, mint(), body, **headers)
    assert (answered, records(tmp_path)[0]["reason"]) == (status, reason)
    assert len(echo.seen) == (status == 200)


async def test_a_header_mismatch_is_the_error_that_the_protocol_names(sidecar: Sidecar) -> None:
    _, _, body = await post(sidecar, mint(), GOOD, **{**HEADERS, "Mcp-Name": "create_plan"})
    assert (json.loads(body)["error"]["code"], json.loads(body)["id"]) == (-32020, 1)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9000"}, 200),
        ({"Host": "evil.test"}, 403),
        ({"Host": "localhost.evil.test:80"}, 403),
        ({"Host": "LOCALHOST:1234"}, 200),
    ],
)
async def test_foreign_origins_and_hosts_are_refused_before_anything_else(
    sidecar: Sidecar, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    assert (await post(sidecar, mint(), call("search_knowledge"), **headers))[0] == status
    assert records(tmp_path)[0]["reason"] == ("ok" if status == 200 else "origin_not_allowed")


@pytest.mark.parametrize(
    "query", ["access_token=x", "a=1&ACCESS_TOKEN=x", "access%5Ftoken=x", "access_token", "a=1;access_token=x"]
)
async def test_a_token_in_the_query_string_is_refused(sidecar: Sidecar, echo: Echo, tmp_path: Path, query: str) -> None:
    status, _, _ = await post(sidecar, mint(), call("search_knowledge"), path=f"/kb/mcp?{query}")
    assert (status, echo.seen) == (401, [])
    assert records(tmp_path)[0]["reason"] == "malformed_header"
    assert samples(sidecar.registry, "mcp_auth_authentications_total", reason="malformed_header") == 1


@pytest.mark.parametrize("path", ["/kb%2Fmcp", "/kb/mcp/", "/kb/mcp%00", "/KB/mcp", "/other", "/"])
async def test_an_unknown_path_is_not_found_and_not_passed_on(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, path: str
) -> None:
    async with aiohttp.ClientSession() as session:
        url = URL(sidecar.url + path, encoded=True)
        response = await session.post(url, json=call("x"), headers={"Authorization": f"Bearer {mint()}"})
    assert (response.status, echo.seen) == (404, [])
    assert records(tmp_path)[0]["reason"] == "unmapped_operation"


@pytest.mark.parametrize(
    "path", ["/kb/./mcp", "/x/../kb/mcp", "//kb/mcp", "/kb/%2e%2e/kb/mcp", "/kb\\\\mcp", "/kb/mcp;x", "/kb/mcp#/"]
)
async def test_dot_segments_and_other_spellings_are_other_paths(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, path: str
) -> None:
    answer = await exchange(sidecar.url, request_of(call("search_knowledge"), path=path))
    assert (answer.status in (400, 404), echo.seen) == (True, [])
    (record,) = records(tmp_path)
    assert record["reason"] in ("unmapped_operation", "malformed_request")
    assert samples(sidecar.registry, "mcp_audit_events_total", event=record["event"]) == 1


async def test_scopes_are_demanded_all_at_once_and_may_include_others(start_sidecar: Start) -> None:
    operations = {
        "tools": {"search_knowledge": "knowledge:read"},
        "scopes": {"knowledge:read": ["mcp:read", "kb:search"]},
        "scope_includes": {"mcp:all": ["mcp:read", "kb:search"]},
    }
    sidecar = await start_sidecar(operations=operations)
    status, headers, _ = await post(sidecar, mint(scope="mcp:read"), call("search_knowledge"))
    assert status == 403
    assert 'error="insufficient_scope", scope="mcp:read kb:search"' in headers["WWW-Authenticate"]
    assert (await post(sidecar, mint(scope="mcp:all"), call("search_knowledge")))[0] == 200


async def test_a_large_body_passes_whole(sidecar: Sidecar, echo: Echo) -> None:
    message = call("search_knowledge", params={"name": "search_knowledge", "arguments": {"text": "x" * (3 << 20)}})
    assert (await post(sidecar, mint(), message))[0] == 200
    assert json.loads(echo.seen[0]["body"]) == message
