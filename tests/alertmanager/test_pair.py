"""Two Alertmanagers in a cluster deliver once, also when one of them is killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from contract.ports import free_port
from tests.alertmanager.programs import DEADLINE_SECONDS, Receiver, install, receiver, running
from tests.alertmanager.test_messages import GENERATED, TEMPLATES, Release, agent_down, both_releases, send
from tests.tools import tool


@dataclass
class Member:
    """One Alertmanager of the pair."""

    url: str
    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """End it on the spot, without a word to its peer."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def member(folder: Path, release: Release, taken: Receiver, gossip: int, peer: int) -> AsyncIterator[Member]:
    folder.mkdir()
    config = install(folder, taken, GENERATED, TEMPLATES)
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
    first, second = free_port(), free_port()
    async with (
        receiver() as taken,
        member(folder / "b", release, taken, second, first) as survivor,
        member(folder / "a", release, taken, first, second) as doomed,
    ):
        await asyncio.gather(until_joined(survivor.url), until_joined(doomed.url))
        alert = agent_down(started=datetime.now(UTC))  # of an older one no others are waited for
        for each in (survivor, doomed):
            await send(each.url, [alert])
        yield survivor, doomed, taken


async def until_joined(url: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/api/v2/status") as answer:
                cluster = (await answer.json())["cluster"]
            if cluster["status"] == "ready" and len(cluster["peers"]) == 2:
                return
            await asyncio.sleep(0.05)


async def told_once(taken: Receiver) -> bool:
    """Give the second member twice the peer timeout, for which it waits for the first one, to break its promise."""
    await taken.until(lambda seen: len(seen.posts.get("/slack", ())) >= 1 and len(seen.mails) >= 1)
    await asyncio.sleep(4)
    return len(taken.posts["/slack"]) == len(taken.posts["/v2/enqueue"]) == len(taken.mails) == 1


@both_releases
async def test_a_pair_delivers_once_also_when_one_is_killed_after_it_told_and_the_survivor_goes_on(
    tmp_path: Path, release: Release
) -> None:
    async with pair(tmp_path, release) as (survivor, doomed, taken):
        await taken.until(lambda seen: len(seen.posts.get("/slack", ())) == 1 and len(seen.mails) == 1)
        await asyncio.sleep(1)  # two full exchanges: what one has sent, the other knows
        await doomed.kill()
        assert await told_once(taken)
        other = agent_down("validator-1")
        await send(survivor.url, [other | {"labels": {**other["labels"], "agent_type": "validator"}}])
        await taken.until(lambda seen: len(seen.posts["/slack"]) == 2 and len(seen.mails) == 2)
    assert len(taken.posts["/v2/enqueue"]) == 2


@both_releases
async def test_an_alert_is_delivered_once_when_a_member_is_killed_before_it_told(
    tmp_path: Path, release: Release
) -> None:
    async with pair(tmp_path, release) as (_, doomed, taken):
        await doomed.kill()
        assert "/slack" not in taken.posts, "killed within the second in which alerts of a group are gathered"
        assert await told_once(taken)
