"""Probes of real servers on the official SDK: 2.x of both eras, 1.30 of the legacy one."""

import aiohttp
import pytest

from contract.vocabulary import ProbeOutcome
from exporter.config import ToolCall
from exporter.exchange import HttpClient, Transcript
from exporter.jsonrpc import RpcError
from exporter.mcp_client import conversation
from exporter.outcome import Failure, Identity
from exporter.probes import make
from exporter.tool_listing import list_tools
from tests.exporter.conftest import Look, target


async def sessions_of(session: aiohttp.ClientSession, url: str) -> tuple[int, int]:
    async with session.get(url.replace("/mcp", "/sessions")) as response:
        begun, ended = (await response.text()).split()
    return int(begun), int(ended)


async def test_modern_server_is_discovered_with_its_tools(look: Look, modern_url: str) -> None:
    result = await look(modern_url)
    assert result.outcome is ProbeOutcome.OK
    assert result.identity == Identity("modern", "2026-07-28", "real-server", "4.2", has_tools=True)
    assert sorted(result.tools) == ["add", "fail"]
    assert result.http_status == 200


async def test_legacy_server_is_found_by_handshake_and_ping(look: Look, legacy_url: str) -> None:
    result = await look(legacy_url)
    assert result.outcome is ProbeOutcome.OK, result.detail
    assert (result.identity.era, result.identity.protocol_version) == ("legacy", "2025-11-25")
    assert sorted(result.tools) == ["add", "fail"]


async def test_stateless_legacy_server_works_without_session(look: Look, stateless_url: str) -> None:
    result = await look(stateless_url)
    assert (result.outcome, result.identity.era) == (ProbeOutcome.OK, "legacy")
    assert len(result.tools) == 2


async def test_every_legacy_session_is_ended(session: aiohttp.ClientSession, legacy_url: str) -> None:
    probe, http = make(target(legacy_url)), HttpClient(session, legacy_url)
    before = await sessions_of(session, legacy_url)
    for _ in range(3):
        assert (await probe(http, 5)).outcome is ProbeOutcome.OK
    begun, ended = await sessions_of(session, legacy_url)
    assert begun - before[0] == 3
    assert ended - before[1] == 3


@pytest.mark.parametrize(("fixture", "era"), [("modern_url", "modern"), ("legacy_url", "legacy")])
async def test_era_is_asked_for_once(
    session: aiohttp.ClientSession, request: pytest.FixtureRequest, fixture: str, era: str
) -> None:
    url, transcript = request.getfixturevalue(fixture), Transcript()
    probe, http = make(target(url)), HttpClient(session, url, transcript=transcript)
    await probe(http, 5)
    first = sum("server/discover" in line and line.startswith("> {") for line in transcript.lines)
    transcript.lines.clear()
    result = await probe(http, 5)
    again = sum("server/discover" in line and line.startswith("> {") for line in transcript.lines)
    assert result.outcome is ProbeOutcome.OK
    assert (first, again) == (1, 1 if era == "modern" else 0)


async def test_tools_are_listed_less_often_than_the_agent_is_probed(
    session: aiohttp.ClientSession, modern_url: str
) -> None:
    probe, http = make(target(modern_url)), HttpClient(session, modern_url)
    assert (await probe(http, 5)).tools is not None
    assert (await probe(http, 5)).tools is None


@pytest.mark.parametrize("fixture", ["modern_url", "legacy_url"])
async def test_tool_that_reports_an_error_is_no_success(
    look: Look, request: pytest.FixtureRequest, fixture: str
) -> None:
    result = await look(request.getfixturevalue(fixture), check_tool=ToolCall(name="fail"))
    assert (result.outcome, result.detail) == (ProbeOutcome.TOOL_ERROR, "tool fail reports an error")
    assert not result.outcome.is_healthy


@pytest.mark.parametrize("fixture", ["modern_url", "legacy_url"])
async def test_tool_that_works_keeps_the_agent_healthy(
    look: Look, request: pytest.FixtureRequest, fixture: str
) -> None:
    call = ToolCall(name="add", arguments={"a": 1, "b": 2})
    assert (await look(request.getfixturevalue(fixture), check_tool=call)).outcome is ProbeOutcome.OK


@pytest.mark.parametrize("fixture", ["modern_url", "legacy_url", "stateless_url"])
async def test_conversation_calls_in_either_era(
    session: aiohttp.ClientSession, request: pytest.FixtureRequest, fixture: str
) -> None:
    url = request.getfixturevalue(fixture)
    async with conversation(HttpClient(session, url)) as dialog:
        assert not isinstance(dialog, Failure)
        tools = await list_tools(dialog)
    assert not isinstance(tools, Failure)
    assert set(tools) == {"add", "fail"}


async def test_modern_server_refuses_what_it_does_not_know(session: aiohttp.ClientSession, modern_url: str) -> None:
    async with conversation(HttpClient(session, modern_url)) as dialog:
        assert not isinstance(dialog, Failure)
        reply = await dialog.call("no/such", {})
    assert isinstance(reply, RpcError)
    assert reply.code == -32601
