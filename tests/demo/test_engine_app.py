"""The engine's statistics over HTTP and as an MCP resource, in both protocol eras."""

import json
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from mcp.client import Client
from mcp_types import TextResourceContents

from contract.vocabulary import RunOutcome
from demo.engine.app import make_app
from demo.engine.statistics import Statistics
from demo.listener import Listener


@pytest.fixture
async def engine() -> AsyncIterator[tuple[Listener, Statistics]]:
    statistics = Statistics("pipeline_step")
    listener = Listener(partial(make_app, statistics, ["engine.svc"]))
    await listener.open()
    yield listener, statistics
    await listener.close()


async def test_the_document_is_served_over_http(
    engine: tuple[Listener, Statistics], session: aiohttp.ClientSession
) -> None:
    listener, statistics = engine
    statistics.run_ended(RunOutcome.COMPLETED, 12.0, 2)
    async with session.get(f"{listener.url}/workflows") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == statistics.document()


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_the_document_is_an_mcp_resource(engine: tuple[Listener, Statistics], mode: str) -> None:
    listener, statistics = engine
    async with Client(f"{listener.url}/mcp", mode=mode, cache=None) as client:
        (listed,) = (await client.list_resources()).resources
        assert (str(listed.uri), listed.mime_type) == ("lookout://workflows", "application/json")
        for outcome in (RunOutcome.COMPLETED, RunOutcome.FAILED):
            statistics.run_ended(outcome, 12.0, 2)
            (content,) = (await client.read_resource("lookout://workflows")).contents
            assert isinstance(content, TextResourceContents)
            assert json.loads(content.text) == statistics.document()


async def test_it_is_healthy_and_knows_its_names(
    engine: tuple[Listener, Statistics], session: aiohttp.ClientSession
) -> None:
    listener, _ = engine
    async with session.get(f"{listener.url}/-/healthy") as response:
        assert (response.status, await response.text()) == (200, "healthy\n")
    for host, status in (("engine:9826", 406), ("engine.svc:80", 406), ("evil.example", 421)):
        async with session.post(f"{listener.url}/mcp", json={}, headers={"Host": host, "Accept": "x/y"}) as response:
            assert response.status == status, host
