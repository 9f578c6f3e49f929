"""Two Alertmanagers in a cluster deliver once, also when the one whose turn it is dies before or after it told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from contract.ports import free_port
from tests.alertmanager.programs import DEADLINE_SECONDS, Receiver, install, receiver, running
from tests.alertmanager.test_messages import GENERATED, TEMPLATES, Release, agent_down, both_releases, send
from tests.tools import tool

CHANNELS = 4
"""Who is told that an agent is down: Slack, PagerDuty, mail, and the incident desk."""
LOOKS = "alertmanager_nflog_queries_total"
"""Grows whenever a group that waits to be told again is looked at, by one for each channel."""
EXCHANGES = 'alertmanager_cluster_messages_received_total{msg_type="full_state"}'


@dataclass
class Member:
    """One Alertmanager of the pair."""

    url: str
    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """End it on the spot, without a word to its peer."""
        self.process.kill()
        await self.process.wait()

    async def cluster(self) -> dict[str, Any]:
        """Return what it knows of the pair."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/api/v2/status") as answer:
            found: dict[str, Any] = (await answer.json())["cluster"]
        return found

    async def metric(self, name: str) -> float:
        """Return the value of one of its metrics."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            [value] = [line.split()[-1] for line in (await answer.text()).splitlines() if line.startswith(f"{name} ")]
        return float(value)

    async def until_joined(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (seen := await self.cluster())["status"] != "ready" or len(seen["peers"]) != 2:
                await asyncio.sleep(0.05)

    async def until_more(self, name: str, more: float) -> None:
        """Wait until a metric has grown by so much."""
        wanted = await self.metric(name) + more
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.metric(name) < wanted:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def member(folder: Path, release: Release, taken: Receiver, gossip: int, peer: int) -> AsyncIterator[Member]:
    folder.mkdir()
    config = install(folder, taken, GENERATED, TEMPLATES)
    # Long enough that a kill comes before the message on a busy machine too.
    config.write_text(config.read_text().replace("group_wait: 1s", "group_wait: 2s"))
    command: list[str | Path] = [
        tool("alertmanager", release),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        f"--cluster.listen-address=127.0.0.1:{gossip}",
        f"--cluster.advertise-address=127.0.0.1:{gossip}",
        f"--cluster.peer=127.0.0.1:{peer}",
        "--cluster.peer-timeout=2s",
        "--cluster.gossip-interval=50ms",
        "--cluster.pushpull-interval=500ms",
        "--cluster.settle-timeout=1s",
    ]
    processes: list[asyncio.subprocess.Process] = []
    async with running(*command, cwd=folder, started=processes.append) as url:
        yield Member(url, processes[0])


@asynccontextmanager
async def pair(folder: Path, release: Release) -> AsyncIterator[tuple[Member, Member, Receiver]]:
    """Run a pair that has just heard of an alert: the member whose turn it is, and the one that waits for its word.

    Alertmanager's order is that of the members' names; the second waits one peer timeout.
    """
    one, other = free_port(), free_port()
    async with (
        receiver() as taken,
        member(folder / "a", release, taken, one, other) as a,
        member(folder / "b", release, taken, other, one) as b,
    ):
        await asyncio.gather(a.until_joined(), b.until_joined())
        names = {(await each.cluster())["name"]: each for each in (a, b)}
        first, second = (names[name] for name in sorted(names))
        alert = agent_down(started=datetime.now(UTC))  # of an older one no others are waited for
        for each in (second, first):
            await send(each.url, [alert])
        yield first, second, taken


def told(taken: Receiver) -> list[int]:
    """Return how many messages each channel got."""
    return [*(len(taken.posts.get(path, ())) for path in ("/slack", "/v2/enqueue", "/alerts")), len(taken.mails)]


async def stays_told(survivor: Member, taken: Receiver, times: int) -> bool:
    """Give the survivor the time to tell once more: after all were told, it looks at every group again."""
    await taken.until(lambda seen: min(told(seen)) >= times)
    await survivor.until_more(LOOKS, CHANNELS * times)
    return told(taken) == [times] * CHANNELS


async def goes_on(survivor: Member, taken: Receiver) -> bool:
    """Whether the survivor tells of what happens next, once, and not again of what it told."""
    other = agent_down("validator-1", started=datetime.now(UTC))
    await send(survivor.url, [other | {"labels": {**other["labels"], "agent_type": "validator"}}])
    return await stays_told(survivor, taken, 2)


@both_releases
async def test_a_pair_delivers_once_when_the_one_that_told_is_killed(tmp_path: Path, release: Release) -> None:
    async with pair(tmp_path, release) as (first, second, taken):
        await taken.until(lambda seen: told(seen) == [1] * CHANNELS)
        await first.until_more(LOOKS, CHANNELS)  # it has noted that it told
        await second.until_more(EXCHANGES, 2)  # and the second has heard of it
        await first.kill()
        assert await stays_told(second, taken, 1)
        assert await goes_on(second, taken)


@both_releases
async def test_a_pair_delivers_once_when_the_one_that_was_to_tell_is_killed(tmp_path: Path, release: Release) -> None:
    async with pair(tmp_path, release) as (first, second, taken):
        await first.kill()
        assert told(taken) == [0] * CHANNELS
        assert await stays_told(second, taken, 1)
        assert await goes_on(second, taken)
