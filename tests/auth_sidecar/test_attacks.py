"""Requests that mean one thing to the sidecar and another to somebody else, and what else an attacker would try."""

import asyncio
import base64
import json
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from auth_sidecar.app import Sidecar
from auth_sidecar.revocation import Revocation, Revocations
from contract.instruments import Instruments
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import ISSUER, Idp, mint
from tests.auth_sidecar.raw import exchange, request_of
from tests.auth_sidecar.sidecars import Start, call, post, records, samples

PING = '{"jsonrpc":"2.0","id":1,"method":"ping"'
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_knowledge"'


@pytest.mark.parametrize(
    "body",
    [
        PING + ',"Method":"tools/call","params":{"name":"delete_everything"}}',
        PING + ',"METHOD":"tools/call"}',
        PING + ',"method\\u0000":"tools/call"}',
        CALL + '},"Params":{"name":"delete_everything"}}',
        CALL + '},"param\u017f":{"name":"delete_everything"}}',
        CALL + ',"Name":"delete_everything"}}',
        CALL + ',"name\\u0000x":"delete_everything"}}',
        CALL + ',"_META":{}}}',
        CALL + ',"_meta":{"IO.modelcontextprotocol/protocolVersion":"2026-07-28"}}}',
    ],
)
async def test_keys_that_a_lax_parser_takes_for_decisive_ones_are_refused(
    sidecar: Sidecar, echo: Echo, body: str
) -> None:
    assert ((await post(sidecar, mint(), body.encode()))[0], echo.seen) == (400, [])


async def test_arguments_may_differ_in_case_only(sidecar: Sidecar) -> None:
    message = call("search_knowledge", params={"name": "search_knowledge", "arguments": {"a": 1, "A": 2, "Name": 3}})
    assert (await post(sidecar, mint(), message))[0] == 200


@pytest.mark.parametrize("name", ["ping\\u0000", "notifications/\\n", "\\u001b[2J"])
async def test_control_characters_in_a_method_are_refused(sidecar: Sidecar, echo: Echo, name: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{name}"}}'.encode()
    assert ((await post(sidecar, mint(), body))[0], echo.seen) == (400, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-7"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "deflate"},
        {"Content_Encoding": "gzip"},
    ],
)
async def test_a_body_in_another_charset_or_coding_is_refused(
    sidecar: Sidecar, echo: Echo, headers: dict[str, str]
) -> None:
    assert ((await post(sidecar, mint(), call("search_knowledge"), **headers))[0], echo.seen) == (415, [])
    assert (await post(sidecar, mint(), call("x"), **{"Content-Type": 'application/json; charset="UTF-8"'}))[0] == 403


@pytest.mark.parametrize("identifier", ["1180591620717411303424", '"\\ud800"', "-9223372036854775809"])
@pytest.mark.parametrize("tool", ["search_knowledge", "delete_everything"])
async def test_an_id_that_cannot_be_sent_back_is_refused_and_no_surprise(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, identifier: str, tool: str
) -> None:
    body = f'{{"jsonrpc":"2.0","id":{identifier},"method":"tools/call","params":{{"name":"{tool}"}}}}'
    assert ((await post(sidecar, mint(), body.encode()))[0], echo.seen) == (400, [])
    assert [record["status"] for record in records(tmp_path)] == [400]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Mcp-Name", "delete_everything"),
        ("Mcp-Method", "ping"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Session-Id", "of-a-victim"),
    ],
)
async def test_a_decisive_header_that_comes_twice_is_refused(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, name: str, other: str
) -> None:
    good = {"Mcp-Name": "search_knowledge", "Mcp-Method": "tools/call", "MCP-Protocol-Version": "2025-11-25"}
    first = good.get(name, "application/json")
    answer = await exchange(sidecar.url, request_of(call("search_knowledge"), (name, first), (name, other)))
    assert (answer.status, echo.seen) == (400, [])
    assert records(tmp_path)[0]["reason"] == "header_mismatch"


async def test_other_spellings_of_decisive_headers_do_not_reach_the_server_behind(sidecar: Sidecar, echo: Echo) -> None:
    forged = {
        "Mcp_Session_Id": "of-a-victim", "Mcp_Name": "x", "X-HTTP-Method-Override": "DELETE", "X-Rewrite-URL": "/admin",
        "Remote-User": "root", "Expect": "100-continue", "Connection": "x-auth-subject", "Mcp-Param-Tenant_Id": "7",
    }  # fmt: skip
    pairs = [*forged.items(), ("X-Client-Ip", "8.8.8.8")]
    assert (await exchange(sidecar.url, request_of(call("search_knowledge"), *pairs))).status == 200
    seen = echo.seen[0]["headers"]
    assert {name for name in forged if name in seen} - {"Connection"} == {"Mcp-Param-Tenant_Id"}
    assert "X-Client-Ip" not in seen
    assert seen["X-Auth-Subject"] == "workflow-engine"


def _with_header(header: object) -> bytes:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    return head + b"." + mint().partition(".")[2].encode()


@pytest.mark.parametrize(
    "token",
    [
        _with_header({"alg": [], "kid": "key-1"}),
        _with_header({"alg": {"RS256": 1}, "kid": "key-1"}),
        _with_header({"alg": "RS256", "kid": ["key-1"]}),
        _with_header({"alg": "RS256", "typ": []}),
        b"mlk_\xc3\xa9",
        b"\xc3\xa9.\xc3\xa9.\xc3\xa9",
    ],
)
async def test_no_credential_is_a_surprise(sidecar: Sidecar, tmp_path: Path, token: bytes) -> None:
    answer = await exchange(sidecar.url, request_of(call("search_knowledge"), token=token))
    assert answer.status == 401
    assert records(tmp_path)[0]["event"] == "auth_failure"


SECRET = "planted-in-a-broken-request"


@pytest.mark.parametrize(
    "data",
    [
        b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer %b\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\x01\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer\r\n %b\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nX: %b\r\n\r\n",
        b"POST /kb/mcp?access_token=%b\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\nX: %b\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nX: %b" + b"a" * 40_000 + b"\r\n\r\n",
        b"POST /kb/mcp HTTP/1.1\r\n" + b"X: %b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01%b\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_recorded_and_repeated_nowhere(
    sidecar: Sidecar, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    answer = await exchange(sidecar.url, data.replace(b"%b", SECRET.encode()))
    assert answer.status == 400
    (record,) = records(tmp_path)
    assert (record["event"], record["reason"], record["status"]) == ("auth_failure", "malformed_request", 400)
    assert samples(sidecar.registry, "mcp_auth_authentications_total", reason="malformed_request") == 1
    assert SECRET not in caplog.text + answer.head.decode() + answer.body.decode() + json.dumps(record)


async def test_forward_auth_records_what_is_not_http_and_answers_upgrades(
    start_sidecar: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar = await start_sidecar(forward_auth={"port": 0})
    url = sidecar.forward_url.removesuffix("/auth")
    assert (await exchange(url, b"GET /auth HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n")).status == 400
    head = b"GET /auth HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    question = (
        b"X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /kb/mcp\r\nAuthorization: Bearer %b\r\n\r\n" % mint().encode()
    )
    assert (await exchange(url, head + question)).status == 200
    assert [record["status"] for record in records(tmp_path)] == [400, 200]
    assert "Traceback" not in caplog.text


async def test_a_token_that_has_grown_too_old_is_not_kept_alive_by_the_cache(start_sidecar: Start, idp: Idp) -> None:
    issuer = {"name": "demo", "issuer": ISSUER, "jwks_url": f"{idp.url}/jwks", "allow_http": True}
    sidecar = await start_sidecar(issuers=[{**issuer, "max_token_age": "1h"}])
    issued = int(time.time()) - 3598
    token = mint(iat=issued, nbf=issued)
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    async with asyncio.timeout(10):
        while (await post(sidecar, token, call("search_knowledge")))[0] == 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("issued", "reason"), [(None, "missing_claim"), (0, "expired")])
async def test_a_token_that_does_not_tell_its_age_is_too_old(
    start_sidecar: Start, idp: Idp, tmp_path: Path, issued: int | None, reason: str
) -> None:
    issuer = {"name": "demo", "issuer": ISSUER, "jwks_url": f"{idp.url}/jwks", "allow_http": True}
    sidecar = await start_sidecar(issuers=[{**issuer, "max_token_age": "1h"}])
    token = mint(iat=issued, nbf=None, exp=int(time.time()) + 100_000_000)
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 401
    assert [record["reason"] for record in records(tmp_path)] == [reason]


async def test_a_foreign_web_page_locks_its_reader_not_out(start_sidecar: Start) -> None:
    sidecar = await start_sidecar(limits={"lockout": {"failures": 2, "window": "1m", "duration": "1m"}})
    for _ in range(4):
        assert (await post(sidecar, None, call("x"), Origin="http://evil.test"))[0] == 403
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200


async def test_a_revocation_never_overwrites_what_an_operator_has_just_written(tmp_path: Path) -> None:
    file = tmp_path / "revocations.json"
    revocations = Revocations(file, Instruments(CollectorRegistry(), "sidecar"), lambda: None)
    revocations.check()
    file.write_text('[{"subject": "somebody"}]')
    revocations.add(Revocation(token_id="t"))
    assert [entry.get("subject") for entry in revocations.listed()] == ["somebody", None]
    for broken in ('[{"subject": "oper', "[" * 100_000):
        file.write_text(broken)
        with pytest.raises(OSError, match="cannot be read"):
            revocations.add(Revocation(token_id="u"))
        assert (file.read_text(), revocations.is_readable) == (broken, False)


async def test_long_headers_of_questions_are_not_remembered(start_sidecar: Start, tmp_path: Path) -> None:
    sidecar = await start_sidecar(forward_auth={"port": 0})
    assert sidecar.forward
    before = sidecar.forward.remembered()
    for number in range(3):
        headers = {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": f"/kb/mcp?{number}{'a' * 5000}"}
        headers |= {"X-Forwarded-For": "9" * 5000, "Authorization": "Bearer x"}
        async with aiohttp.ClientSession() as session, session.get(sidecar.forward_url, headers=headers) as response:
            assert response.status == 401
    assert sidecar.forward.remembered() == before
    assert {len(record["client"]) for record in records(tmp_path)} == {64}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:1"},
        {"Host": "rebound.evil.test:9821"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "[bad"},
    ],
)
async def test_a_web_page_neither_reads_nor_adds_revocations(sidecar: Sidecar, headers: dict[str, str]) -> None:
    url = f"{sidecar.admin_url}/-/revocations"
    async with aiohttp.ClientSession() as session:
        assert (await session.get(url, headers=headers)).status in (400, 403)
        assert (await session.post(url, headers=headers, json={"subject": "workflow-engine"})).status in (400, 403)
        assert (await session.get(url, headers={"Host": "sidecar:9821"})).status == 200
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200


async def test_who_leaves_while_keys_are_fetched_has_tried_all_the_same(start_sidecar: Start, tmp_path: Path) -> None:
    asked = asyncio.Event()
    fetched = asyncio.Event()

    sidecar = await start_sidecar()
    source = sidecar.sources["demo"]
    whole = source._fetch

    async def slow() -> bytes:
        asked.set()
        await fetched.wait()
        return await whole()

    source._fetch = slow
    asking = asyncio.ensure_future(post(sidecar, mint(key_id="unknown"), call("search_knowledge")))
    async with asyncio.timeout(5):
        await asked.wait()
        asking.cancel()
        while not records(tmp_path):
            await asyncio.sleep(0.01)
    fetched.set()
    assert records(tmp_path)[0]["reason"] == "unknown_key"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]", "169.254.169.254"])
async def test_discovery_leads_nowhere_inside(start_sidecar: Start, idp: Idp, host: str) -> None:
    idp.issuer, idp.jwks_uri = idp.url, idp.url.replace("127.0.0.1", host) + "/jwks"
    sidecar = await start_sidecar(issuers=[{"name": "found", "issuer": idp.url, "allow_http": True}])
    assert ((await post(sidecar, mint(iss=idp.url), call("search_knowledge")))[0], idp.fetches) == (503, 0)
