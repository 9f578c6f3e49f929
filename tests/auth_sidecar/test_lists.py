"""Lists show callers what they may use, in whatever form the server behind answers; what is not understood is held."""

import gzip
import json

import aiohttp
import pytest
from aiohttp import web

from auth_sidecar.app import Sidecar
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import post, samples

TOOLS = [{"name": "delete_everything", "description": "SECRET"}, {"name": "search_knowledge"}]
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
MESSAGE = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}}
LISTED = json.dumps(MESSAGE)
NOTE = '{"jsonrpc":"2.0","method":"notifications/x"}'
EVENTS = f": ping\n\nid: 4\ndata: {NOTE}\n\nid: 5\ndata: {LISTED}\n\n"
JSON, STREAM = "application/json", "text/event-stream"
TWICE = f'{{"jsonrpc":"2.0","id":1,"result":{json.dumps(MESSAGE["result"])},"result":{{}}}}'
ESCAPED = LISTED.replace('"tools"', '"t\\u006fols"')
SOME_RESOURCES = '{"jsonrpc":"2.0","id":2,"result":{"resources":[{"uri":"x:SECRET"}]}}'


async def _get(sidecar: Sidecar, **headers: str) -> tuple[int, bytes]:
    headers |= {"Authorization": f"Bearer {mint()}"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{sidecar.url}/kb/mcp", headers={"Accept": STREAM, **headers}) as response,
    ):
        return response.status, await response.read()


async def _listed(sidecar: Sidecar, echo: Echo, method: str, kind: str, body: str | bytes) -> tuple[int, bytes]:
    """Have the server behind answer like this and return what the client gets, status 0 for an answer cut off."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": kind})

    echo.answer = answer
    try:
        if method == "GET":
            return await _get(sidecar)
        status, _, text = await post(sidecar, mint(), LIST)
    except aiohttp.ClientError:
        return 0, b""
    return status, text


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, LISTED),
        (JSON, f"[{LISTED}]"),
        (JSON, f"[{NOTE}, {SOME_RESOURCES}, {LISTED}]"),
        (JSON, ESCAPED),
        (STREAM, f"data: {LISTED}\n\n"),
        (STREAM, f"data: [{LISTED}]\n\n"),
        (STREAM, f"data: {ESCAPED}\n\n"),
        (STREAM, f"data: {SOME_RESOURCES}\n\ndata: {LISTED}\n\n"),
        (STREAM, f"\ufeffdata: {LISTED}\n\n"),
        (STREAM, f"data: {LISTED}\n\r\n"),
        (STREAM, f"data: {LISTED}\r\r"),
        (STREAM, f"id: 1\rdata:{LISTED}\r\n\r"),
        (STREAM, f"data:{LISTED[:18]}\ndata: {LISTED[18:]}\n\n"),
        (f"{STREAM.upper()} ; charset=utf-8", f"data: {LISTED}\n\n"),
    ],
)
async def test_every_form_of_a_list_is_filtered(
    sidecar: Sidecar, echo: Echo, method: str, kind: str, body: str
) -> None:
    status, text = await _listed(sidecar, echo, method, kind, body)
    assert (status, b"SECRET" in text, b"search_knowledge" in text) == (200, False, True)
    assert samples(sidecar.registry, "mcp_auth_hidden_items_total", kind="tools") == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, TWICE),
        (JSON, "\ufeff" + LISTED),
        (JSON, LISTED.encode("utf-16")),
        (JSON, f"[[{LISTED}]]"),
        (JSON, LISTED + LISTED),
        (JSON, '{"result":{"tools":{"name":"SECRET"}}}'),
        (JSON, '"SECRET"'),
        ("text/plain", f"data: {LISTED}\n\n"),
        (f'"{STREAM}"', f"data: {LISTED}\n\n"),
        (f"{STREAM}x", f"data: {LISTED}\n\n"),
        (STREAM, f"data: {TWICE}\n\n"),
        (STREAM, f"data: {LISTED}{LISTED}\n\n"),
        (STREAM, f"data: {LISTED}"),
    ],
)
async def test_what_may_be_a_list_and_is_not_understood_is_held(
    sidecar: Sidecar, echo: Echo, method: str, kind: str, body: str | bytes
) -> None:
    status, text = await _listed(sidecar, echo, method, kind, body)
    assert b"SECRET" not in text
    if kind != STREAM or body != f"data: {LISTED}":
        assert status == 502
        assert samples(sidecar.registry, "mcp_server_operation_duration_seconds_count", error_type="502") == (
            method == "POST"
        )


async def test_a_document_in_a_stream_is_no_event(sidecar: Sidecar, echo: Echo) -> None:
    for method in ("POST", "GET"):
        status, text = await _listed(sidecar, echo, method, STREAM, f"{LISTED}\n\n: ping\n\n")
        assert (status, text.strip()) == (200, b": ping")


@pytest.mark.parametrize("kind", [JSON, STREAM])
@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}',
        '{"jsonrpc":"2.0","id":1,"result":{}}',
        f"[{NOTE}]",
    ],
)
async def test_what_has_no_list_passes_byte_for_byte(sidecar: Sidecar, echo: Echo, kind: str, body: str) -> None:
    body = f"event: message\ndata: {body}\n\n" if kind == STREAM else f" {body}\n"
    for method in ("POST", "GET"):
        assert await _listed(sidecar, echo, method, kind, body) == (200, body.encode())


async def test_data_of_several_lines_stays_data(sidecar: Sidecar, echo: Echo) -> None:
    body = "id:\ndata: {\ndata: }\n\n"
    assert await _listed(sidecar, echo, "POST", STREAM, body) == (200, b"id: \ndata: {\ndata: }\n\n")


async def test_a_list_that_is_resumed_on_a_get_stream_is_filtered_too(sidecar: Sidecar, echo: Echo) -> None:
    async def resumed(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=EVENTS, content_type=STREAM)

    echo.answer = resumed
    _, text = await _get(sidecar, **{"Accept-Encoding": "gzip", "Range": "bytes=0-"})
    lines = [line.partition(b".")[0] if line.startswith(b"id: ") else line for line in text.split(b"\n")]
    assert lines[:6] == [b": ping", b"", b"id: 4", f"data: {NOTE}".encode(), b"", b"id: 5"]
    assert (b"search_knowledge" in text, b"delete_everything" in text) == (True, False)
    assert samples(sidecar.registry, "mcp_auth_hidden_items_total", kind="tools") == 1
    assert {"Accept-Encoding", "Range"}.isdisjoint(echo.seen[0]["headers"])


@pytest.mark.parametrize("codings", [["gzip"], ["identity", "gzip"]])
@pytest.mark.parametrize("kind", [JSON, STREAM])
async def test_a_list_in_a_coding_that_nobody_asked_for_does_not_pass(
    sidecar: Sidecar, echo: Echo, kind: str, codings: list[str]
) -> None:
    async def packed(_request: web.Request) -> web.StreamResponse:
        response = web.Response(body=gzip.compress(EVENTS.encode(), compresslevel=0), headers={"Content-Type": kind})
        for coding in codings:
            response.headers.add("Content-Encoding", coding)
        return response

    echo.answer = packed
    assert (await post(sidecar, mint(), LIST, Accept_Encoding="gzip"))[0] == 502
    assert (await _get(sidecar))[0] == 502


async def test_a_list_with_another_good_status_is_filtered(sidecar: Sidecar, echo: Echo) -> None:
    async def partial(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=206, text=LISTED, content_type=JSON)

    echo.answer = partial
    status, _, body = await post(sidecar, mint(), LIST)
    assert (status, b"delete_everything" in body) == (206, False)
