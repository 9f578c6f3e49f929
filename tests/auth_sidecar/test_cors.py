"""MCP clients in web pages: pages of configured origins are let in by a browser, others by nobody."""

from pathlib import Path

import aiohttp
import pytest

from auth_sidecar.app import Sidecar
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, call, post, records, samples

PAGE = "http://localhost:6274"


async def preflight(sidecar: Sidecar, origin: str, path: str = "/kb/mcp", **headers: str) -> aiohttp.ClientResponse:
    """Ask as a browser does before a page may call."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, mcp-param-tenant, x-evil",
        **headers,
    }
    async with aiohttp.ClientSession() as session, session.options(sidecar.url + path, headers=asked) as response:
        await response.read()
        return response


async def test_a_page_of_a_configured_origin_may_send_what_mcp_needs(
    sidecar: Sidecar, echo: Echo, tmp_path: Path
) -> None:
    answer = await preflight(sidecar, PAGE)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET, DELETE"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type, mcp-param-tenant"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert (echo.seen, records(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("origin", "path", "host", "status", "reason"),
    [
        ("https://evil.example", "/kb/mcp", "localhost", 403, "origin_not_allowed"),
        ("null", "/kb/mcp", "localhost", 403, "origin_not_allowed"),
        (PAGE, "/kb/mcp", "rebound.example", 403, "origin_not_allowed"),
        (PAGE, "/elsewhere", "localhost", 401, "missing_auth_header"),
    ],
)
async def test_every_other_preflight_is_refused_and_recorded(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, origin: str, path: str, host: str, status: int, reason: str
) -> None:
    answer = await preflight(sidecar, origin, path, Host=host)
    assert answer.status == status
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert "Access-Control-Allow-Headers" not in answer.headers
    (record,) = records(tmp_path)
    assert (record["http_method"], record["reason"], record["status"]) == ("OPTIONS", reason, status)
    assert samples(sidecar.registry, "mcp_auth_authentications_total", reason=reason) == 1
    assert echo.seen == []


async def test_a_page_may_read_its_answers_and_where_to_get_a_token(sidecar: Sidecar, echo: Echo) -> None:
    async def answer(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        headers = {"Access-Control-Allow-Origin": "*", "access-control-allow-credentials": "true", "Vary": "Accept"}
        return aiohttp.web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers=headers)

    echo.answer = answer
    status, headers, _ = await post(sidecar, mint(), call("search_knowledge"), Origin=PAGE)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert "Access-Control-Allow-Credentials" not in headers
    assert "Mcp-Session-Id" in headers["Access-Control-Expose-Headers"]
    for token, expected in ((None, 401), (mint(roles=[]), 403)):
        status, headers, _ = await post(sidecar, token, call("search_knowledge"), Origin=PAGE)
        assert (status, headers["Access-Control-Allow-Origin"]) == (expected, PAGE)
        assert "WWW-Authenticate" in headers["Access-Control-Expose-Headers"]
    status, headers, _ = await post(sidecar, mint(), call("search_knowledge"), Origin="https://evil.example")
    assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)
    status, headers, _ = await post(sidecar, mint(), call("search_knowledge"))
    assert headers["Access-Control-Allow-Origin"] == "*"  # no page of ours to speak for


async def test_a_page_may_read_that_the_server_behind_is_down(start_sidecar: Start) -> None:
    sidecar = await start_sidecar("http://127.0.0.1:1/mcp")
    status, headers, _ = await post(sidecar, mint(), call("search_knowledge"), Origin=PAGE)
    assert (status, headers["Access-Control-Allow-Origin"]) == (502, PAGE)


async def test_any_page_may_read_the_metadata_document(sidecar: Sidecar) -> None:
    path = "/.well-known/oauth-protected-resource/kb/mcp"
    wanted = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "mcp-protocol-version"}
    answer = await preflight(sidecar, "https://anywhere.example", path, **wanted)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert answer.headers["Access-Control-Allow-Headers"] == "mcp-protocol-version"
