"""When agents are probed: at their interval, moved a little, bounded in number, none waiting for another."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from exporter.exchange import HttpClient
from exporter.fleet import Agent
from exporter.poller import JITTER, Poller
from exporter.probes import make
from tests.exporter.conftest import target
from tests.exporter.servers import until

Named = Callable[..., Agent]


@pytest.fixture
def named(session: aiohttp.ClientSession) -> Named:
    def made(name: str, **settings: Any) -> Agent:
        chosen = target(name=name, **settings)
        return Agent(chosen, make(chosen), HttpClient(session, chosen.url))

    return made


@asynccontextmanager
async def polling(look: Callable[[Agent], Awaitable[None]], concurrency: int = 100) -> AsyncIterator[Poller]:
    poller = Poller(look, concurrency)
    task = asyncio.create_task(poller.run())
    try:
        yield poller
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_agents_are_probed_again_and_again_at_their_own_interval(named: Named) -> None:
    looked: list[tuple[str, float]] = []

    async def look(agent: Agent) -> None:
        looked.append((agent.target.name, asyncio.get_running_loop().time()))

    async with polling(look) as poller:
        poller.add([named("often", interval=0.1), named("seldom", interval=60.0)])
        await until(lambda: len(looked) >= 6)
    times = [when for name, when in looked if name == "often"]
    assert sum(name == "seldom" for name, _ in looked) == 1
    assert all(later - earlier > 0.1 * (1 - 2 * JITTER) - 0.05 for earlier, later in pairwise(times))


async def test_slow_agent_delays_nobody(named: Named) -> None:
    counts: Counter[str] = Counter()

    async def look(agent: Agent) -> None:
        counts[agent.target.name] += 1
        if agent.target.name == "slow":
            await asyncio.sleep(30)

    async with polling(look) as poller:
        poller.add([named("slow", interval=0.05), named("quick", interval=0.05)])
        await until(lambda: counts["quick"] >= 5)
    assert counts["slow"] == 1, "an agent is never probed twice at once"


async def test_no_more_probes_at_once_than_allowed(named: Named) -> None:
    running, most, done = 0, 0, 0

    async def look(_agent: Agent) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running, done = running - 1, done + 1

    async with polling(look, concurrency=3) as poller:
        poller.add([named(f"a{number}") for number in range(20)])
        await until(lambda: done == 20)
    assert most == 3


async def test_new_limit_counts_from_the_next_probe(named: Named) -> None:
    running: set[str] = set()

    async def look(agent: Agent) -> None:
        running.add(agent.target.name)
        await asyncio.sleep(30)

    async with polling(look, concurrency=1) as poller:
        poller.add([named("first")])
        await until(lambda: len(running) == 1)
        poller.set_concurrency(5)
        poller.add([named("second"), named("third")])
        await until(lambda: len(running) == 3)


async def test_removed_agent_is_not_probed_again(named: Named) -> None:
    counts: Counter[str] = Counter()

    async def look(agent: Agent) -> None:
        counts[agent.target.name] += 1

    gone, kept = named("gone", interval=0.03), named("kept", interval=0.03)
    async with polling(look) as poller:
        poller.add([gone, kept])
        await until(lambda: counts["gone"] and counts["kept"])
        gone.is_removed, before = True, counts["gone"]
        await until(lambda: counts["kept"] >= 6)
    assert counts["gone"] <= before + 1


async def test_broken_probe_is_logged_and_tried_again(named: Named, caplog: pytest.LogCaptureFixture) -> None:
    counts: Counter[str] = Counter()

    async def look(agent: Agent) -> None:
        counts[agent.target.name] += 1
        raise RuntimeError("a bug")

    async with polling(look) as poller:
        poller.add([named("a", interval=0.02)])
        await until(lambda: counts["a"] >= 3)
    assert any(record.message == "a probe broke" and record.exc_info for record in caplog.records)


async def test_late_probes_are_told_to_the_log(named: Named, caplog: pytest.LogCaptureFixture) -> None:
    async def look(_agent: Agent) -> None:
        await asyncio.sleep(0.05)

    async with polling(look, concurrency=1) as poller:
        poller.add([named(f"a{number}", interval=0.05) for number in range(5)])
        await until(lambda: any("probes are late" in record.message for record in caplog.records))


async def test_end_of_the_poller_ends_probes_under_way(named: Named) -> None:
    ended: list[str] = []

    async def look(agent: Agent) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(agent.target.name)

    async with polling(look) as poller:
        poller.add([named("a"), named("b")])
        await until(lambda: len(poller._running) == 2)
    assert sorted(ended) == ["a", "b"]
