"""Two Alertmanagers in a cluster deliver once, also when one of them is killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from contract.ports import free_port
from tests.alertmanager.programs import DEADLINE_SECONDS, Receiver, install, receiver, running
from tests.alertmanager.test_messages import GENERATED, TEMPLATES, Release, agent_down, both_releases, send
from tests.tools import tool


@asynccontextmanager
async def member(folder: Path, release: Release, taken: Receiver, gossip: int, peer: int) -> AsyncIterator[str]:
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
        "--cluster.peer-timeout=3s",
        "--cluster.gossip-interval=50ms",
        "--cluster.pushpull-interval=500ms",
        "--cluster.settle-timeout=1s",
    ]
    async with running(*command, cwd=folder) as url:
        yield url


async def until_joined(url: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/api/v2/status") as answer:
                cluster = (await answer.json())["cluster"]
            if cluster["status"] == "ready" and len(cluster["peers"]) == 2:
                return
            await asyncio.sleep(0.05)


async def until_second_member_had_its_turn(taken: Receiver, count: int) -> None:
    """The second member waits one peer timeout for the first one's word; give it twice that to break its promise."""
    await taken.until(lambda seen: len(seen.posts.get("/slack", [])) >= count)
    await asyncio.sleep(6)


@both_releases
async def test_a_pair_delivers_once_and_the_survivor_goes_on(tmp_path: Path, release: Release) -> None:
    first, second = free_port(), free_port()
    async with receiver() as taken, member(tmp_path / "b", release, taken, second, first) as survivor:
        async with member(tmp_path / "a", release, taken, first, second) as doomed:
            await asyncio.gather(until_joined(survivor), until_joined(doomed))
            for url in (survivor, doomed):
                await send(url, [agent_down()])
            await until_second_member_had_its_turn(taken, 1)
            assert len(taken.posts["/slack"]) == len(taken.posts["/v2/enqueue"]) == len(taken.mails) == 1
        await send(survivor, [agent_down("validator-1") | {"labels": {**agent_down("v")["labels"], "agent_type": "v"}}])
        await taken.until(lambda seen: len(seen.posts["/slack"]) == 2 and len(seen.mails) == 2)
    assert len(taken.posts["/v2/enqueue"]) == 2
