"""Listings of agents that mean harm: bounded in bytes, tools, size and depth, and never kept."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable

import aiohttp
import pytest

from contract.vocabulary import ProbeOutcome
from exporter.exchange import HttpClient
from exporter.probes import make
from exporter.tool_listing import MAX_LISTING_BYTES, MAX_TOOLS
from exporter.tool_pins import MAX_DEPTH, MAX_NAME_LENGTH, MAX_VALUES, fingerprint, fingerprints
from tests.exporter.conftest import Look, target
from tests.exporter.servers import DISCOVERED, Request, answering, http, rpc_result, serving

DISCOVERED_WITH_TOOLS = http(200, rpc_result({**DISCOVERED, "capabilities": {"tools": {}}}))


class Lister:
    """A server whose listing is made by a function of the page's number."""

    def __init__(self, page: Callable[[int], str]) -> None:
        self.page = page
        self.pages = 0

    def __call__(self, request: Request) -> bytes:
        if request.rpc["method"] == "server/discover":
            return DISCOVERED_WITH_TOOLS
        self.pages += 1
        return http(200, self.page(self.pages))


def nested(levels: int) -> dict[str, object]:
    """Return a tool whose schema is nested so deeply."""
    return {"name": "x", "inputSchema": json.loads("[" * levels + "]" * levels)}


def test_tool_as_deep_as_allowed_is_hashed_and_a_deeper_one_refused() -> None:
    assert fingerprint(nested(MAX_DEPTH - 1)) != fingerprint(nested(MAX_DEPTH - 2))
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        fingerprint(nested(MAX_DEPTH))


def test_tool_of_too_many_values_is_refused() -> None:
    assert fingerprint({"name": "x", "enum": [1] * (MAX_VALUES - 3)})
    with pytest.raises(ValueError, match="more than 20000 values"):
        fingerprint({"name": "x", "enum": [1] * MAX_VALUES})


def test_endless_names_are_cut_and_still_drift() -> None:
    long = "n" * 10_000
    (name,) = fingerprints([{"name": long}])
    assert name == "n" * MAX_NAME_LENGTH
    assert fingerprints([{"name": long}]) != fingerprints([{"name": long + "m"}])


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ([nested(700)], "tools/list: a definition nested deeper than 100 levels"),
        ([{"name": nested(700)["inputSchema"]}], "tools/list: a definition nested deeper than 100 levels"),
        ([{"name": "x", "inputSchema": [{}] * 500_000}], "tools/list: a definition of more than 20000 values"),
        ([{"name": "x"}] * (MAX_TOOLS + 1), "tools/list: more than 10000 tools"),
    ],
)
async def test_listing_that_cannot_be_hashed_degrades_its_agent(look: Look, tools: list[object], why: str) -> None:
    async with serving(answering(Lister(lambda _: rpc_result({"tools": tools})))) as url:
        result = await look(url)
    assert (result.outcome, result.detail) == (ProbeOutcome.DEGRADED, why)
    assert result.tools is None


async def test_all_pages_of_a_listing_are_bounded_together(look: Look) -> None:
    padding = "x" * (1024 * 1024)

    def page(number: int) -> str:
        return rpc_result({"tools": [{"name": f"t{number}", "description": padding}], "nextCursor": f"c{number}"})

    server = Lister(page)
    async with serving(answering(server)) as url:
        result = await look(url)
    assert result.outcome is ProbeOutcome.DEGRADED
    assert result.detail == f"tools/list: all pages are larger than {MAX_LISTING_BYTES} bytes"
    assert server.pages == 4, "the page that goes beyond the bound is the last one asked for"


async def test_definitions_are_not_kept(look: Look) -> None:
    answer = rpc_result({"tools": [{"name": f"t{n}", "description": "x" * 100_000} for n in range(30)]})
    async with serving(answering(Lister(lambda _: answer))) as url:
        tracemalloc.start()
        try:
            result = await look(url)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(result.tools) == 30
    assert kept < 1_500_000, f"{kept} bytes are kept of a listing of 3,000,000"


class Renamed(Lister):
    """A server that says it is another one with every answer."""

    answers = 0

    def __call__(self, request: Request) -> bytes:
        if request.rpc["method"] != "server/discover":
            return super().__call__(request)
        self.answers += 1
        info = {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": str(self.answers)}}
        return http(200, rpc_result({**DISCOVERED, "capabilities": {"tools": {}}, "_meta": info}))


async def test_server_that_renames_itself_is_listed_once_more_an_interval(session: aiohttp.ClientSession) -> None:
    server = Renamed(lambda _: rpc_result({"tools": []}))
    async with serving(answering(server)) as url:
        probe, client = make(target(url)), HttpClient(session, url)
        for _ in range(20):
            assert (await probe(client, 5)).outcome is ProbeOutcome.OK
    assert (server.answers, server.pages) == (20, 2)


async def test_long_listing_leaves_turns_to_others(look: Look) -> None:
    answer = rpc_result({"tools": [{"name": f"t{n}", "inputSchema": {"a": [1] * 20}} for n in range(5_000)]})
    pauses: list[float] = []

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            pauses.append(time.perf_counter() - before)

    async with serving(answering(Lister(lambda _: answer))) as url:
        watcher = asyncio.create_task(watch())
        result = await look(url)
        watcher.cancel()
    assert result.outcome is ProbeOutcome.OK
    assert sum(pause > 0.0005 for pause in pauses) >= 50, "the listing is hashed in many short turns"
