"""What a request's head says is judged once and passed on as it was judged, or not at all."""

import base64
import json
from pathlib import Path

import pytest

from auth_sidecar.app import Sidecar
from auth_sidecar.operations import is_modern
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.raw import answering, exchange, request_of
from tests.auth_sidecar.sidecars import Start, call, post, records, samples
from tests.auth_sidecar.test_cases import modern

_INJECTED = '"},"name":"delete_everything","arguments":{"q":"'
_UTF_7 = base64.b64encode(_INJECTED.encode("utf-16-be")).rstrip(b"=").decode()
SMUGGLED = call("search_knowledge", params={"name": "search_knowledge", "arguments": {"q": f"+{_UTF_7}-"}})
"""A permitted call, which is one of another tool for whoever reads it as UTF-7."""


@pytest.mark.parametrize(
    "value",
    [
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset=utf-7; charset=utf-8",
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset*0=ut; charset*1=f-7",
        'application/json; x="; charset=utf-7',
        "application/json; x=; charset=utf-7",
        "application/json, text/x; charset=utf-7",
        "application/json (; charset=utf-7)",
        'application/json; charset="utf-8',
        "application/json; charset='utf-8'",
        "application/json; charset=utf-8; boundary=x",
        "application/json;",
        "application/json\u00a0",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
    ],
)
async def test_a_body_of_any_other_type_is_refused(sidecar: Sidecar, echo: Echo, tmp_path: Path, value: str) -> None:
    answer = await exchange(sidecar.url, request_of(SMUGGLED, ("Content-Type", value)))
    assert (answer.status, echo.seen) == (415, [])
    assert records(tmp_path)[0]["reason"] == "unmapped_operation"


async def test_a_body_without_a_type_is_refused(sidecar: Sidecar, echo: Echo) -> None:
    data = request_of(SMUGGLED).replace(b"Content-Type: application/json\r\n", b"")
    assert ((await exchange(sidecar.url, data)).status, echo.seen) == (415, [])


@pytest.mark.parametrize(
    "value", ["application/json", "Application/JSON;Charset=UTF-8", 'application/json \t; charset="utf-8"']
)
async def test_the_server_behind_gets_a_type_in_our_words(sidecar: Sidecar, echo: Echo, value: str) -> None:
    assert (await exchange(sidecar.url, request_of(SMUGGLED, ("Content-Type", value)))).status == 200
    assert echo.seen[0]["headers"].getall("Content-Type") == ["application/json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "application/json; chars\udcffet=utf-7"),
        ("MCP-Protocol-Version", "2026-07-2\udcff8"),
        ("Mcp-Session-Id", "\udcff.x"),
        ("Mcp-Name", "search_knowledge\udcff"),
        ("X-Anything", "\udced\udca0\udc80"),
        ("Origin", "http://localhost:\udcff"),
        ("Host", "localhost\udcff"),
    ],
)
async def test_a_head_that_is_not_utf_8_is_refused_before_anything_else(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    data = request_of(SMUGGLED, (name, value))
    if name == "Host":
        data = data.replace(b"Host: localhost\r\n", b"", 1)
    answer = await exchange(sidecar.url, data)
    assert (answer.status, echo.seen) == (400, [])
    (record,) = records(tmp_path)
    assert (record["event"], record["reason"]) == ("auth_failure", "malformed_request")
    assert samples(sidecar.registry, "mcp_auth_authentications_total", reason="malformed_request") == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("target", ["/kb/mcp?a=\udcff", "/kb/mcp?a=\u00e9", "/kb/mcp?a=1#x", "/\udcff\udcfe"])
async def test_a_target_that_can_be_read_in_two_ways_is_refused(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, target: str
) -> None:
    data = request_of(call("search_knowledge"), path="@").replace(b"@", target.encode("utf-8", "surrogateescape"))
    assert ((await exchange(sidecar.url, data)).status, echo.seen) == (400, [])
    assert records(tmp_path)[0]["reason"] == "malformed_request"


@pytest.mark.parametrize("query", ["a=%41%2e%2F&b=+", "a=b%zz", "a[]=1&%2B", "?x", "a=1;b=2"])
async def test_a_query_passes_byte_for_byte(sidecar: Sidecar, echo: Echo, query: str) -> None:
    assert (await exchange(sidecar.url, request_of(call("search_knowledge"), path=f"/kb/mcp?{query}"))).status == 200
    assert echo.seen[0]["path"] == f"/mcp?{query}"


@pytest.mark.parametrize("value", ["café", "=?base64?Y2Fmw6k=?=é"])
async def test_a_mirrored_name_must_be_ascii(sidecar: Sidecar, echo: Echo, value: str) -> None:
    message, headers = modern("café")
    headers["Mcp-Name"] = value
    answer = await exchange(
        sidecar.url, request_of(message, *headers.items(), token=mint(roles=["system_admin"]).encode())
    )
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, -32020)


def test_digits_of_other_scripts_make_no_protocol_version() -> None:
    assert [is_modern(version) for version in ("2026-07-28", "\uff12026-07-28")] == [True, False]


async def test_a_connection_header_takes_nothing_away_that_was_judged(sidecar: Sidecar, echo: Echo) -> None:
    message, headers = modern("search_knowledge")
    headers |= {"Mcp-Param-Region": "eu", "X-Mine": "1"}
    named = ", ".join([*headers, "content-type", "x-auth-subject", "x-forwarded-for"])
    answer = await exchange(sidecar.url, request_of(message, *headers.items(), ("Connection", f"close, {named}")))
    seen = echo.seen[0]["headers"]
    assert answer.status == 200
    assert {name: seen.get(name) for name in headers} == {**headers, "X-Mine": None}
    assert [seen[name] for name in ("Content-Type", "X-Auth-Subject", "X-Forwarded-For")] == [
        "application/json", "workflow-engine", "127.0.0.1",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["ping", "tools/list"])
async def test_a_name_of_a_client_enters_the_record_only_where_it_was_judged(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, method: str
) -> None:
    for planted in ("planted", 7):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"": planted}}
        assert (await post(sidecar, mint(), message))[0] == 200
    assert {record.get("name") for record in records(tmp_path)} == {None}


async def test_headers_of_the_server_behind_that_are_no_text_do_not_pass(start_sidecar: Start) -> None:
    async with answering(b"X-Odd: \xff\r\nX-Even: \xc3\xa9\r\n") as upstream:
        sidecar = await start_sidecar(upstream)
        status, headers, _ = await post(sidecar, mint(), call("search_knowledge"))
    assert (status, headers.get("X-Odd"), headers.get("X-Even")) == (200, None, "é")


async def test_a_session_id_that_is_no_text_is_a_fault_of_the_server_behind(
    start_sidecar: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(b"Mcp-Session-Id: \xff\xfe\r\n") as upstream:
        sidecar = await start_sidecar(upstream)
        status, _, body = await post(sidecar, mint(), call("search_knowledge"))
    assert (status, json.loads(body)["id"]) == (502, 1)
    assert "Traceback" not in caplog.text
    assert samples(sidecar.registry, "mcp_server_operation_duration_seconds_count", error_type="502") == 1


async def test_the_server_behind_changes_no_protocol(start_sidecar: Start) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    async with answering(first=switching) as upstream:
        sidecar = await start_sidecar(upstream)
        answer = await exchange(sidecar.url, request_of(call("search_knowledge")))
    assert answer.status == 502


async def test_headers_may_be_as_long_from_behind_as_from_in_front(start_sidecar: Start) -> None:
    async with answering(b"X-Long: " + b"a" * 20_000 + b"\r\n") as upstream:
        sidecar = await start_sidecar(upstream)
        answer = await exchange(sidecar.url, request_of(call("search_knowledge"), ("X-Long", "a" * 20_000)))
    assert (answer.status, b"a" * 20_000 in answer.head) == (200, True)
