"""Workers that die at the worst moment, and tasks that fail: another takes the place, and no connection hangs."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from auth_sidecar import background, supervisor
from auth_sidecar.background import Background
from auth_sidecar.control import Questions
from auth_sidecar.place import Listeners
from auth_sidecar.supervisor import Supervisor
from contract.instruments import Instruments
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import configuration, samples
from tests.auth_sidecar.test_workers import Running, children, is_alive, until

TORN = b'[1,[true,[["mcp_a'


@asynccontextmanager
async def supervised(folder: Path, idp: Idp, echo: Echo) -> AsyncIterator[Supervisor]:
    """Run a supervisor of two workers in this process."""
    config = configuration(idp.url, echo.url, workers=2, revocations_file="revoked.json")
    started = Supervisor(sidecars.write(folder, config), CollectorRegistry())
    try:
        yield await started.start(port=0, admin_port=0)
    finally:
        await started.close()
    assert children(os.getpid()) == []


async def all_are_ready(started: Supervisor) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while (await session.get(f"{started.admin_url}/-/ready")).status != 200:
            await asyncio.sleep(0.05)


async def answers(started: Supervisor, count: int) -> set[int]:
    """Return the statuses of so many calls, each over a connection of its own, so that every worker gets some."""
    asked = Running(None, started.url, started.admin_url, Path())  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        return set(await asyncio.gather(*(asked.post(mint()) for _ in range(count))))


@pytest.mark.parametrize("last", [TORN, TORN + b"\n", b"1\n", b"[[],0]\n", b"\xff\n", b""], ids=str)
async def test_an_answer_that_cannot_be_read_is_the_end_of_a_connection_and_no_error(last: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    questions = await Questions.over(ours)
    with theirs:
        asked = asyncio.ensure_future(questions.ask("metrics", seconds=5))
        await asyncio.to_thread(theirs.recv, 100)
        theirs.send(last)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            await asked
        with pytest.raises(ConnectionResetError):
            await questions.ask("metrics")
        await questions.close()


async def test_a_worker_that_dies_in_the_middle_of_an_answer_is_replaced(
    tmp_path: Path, idp: Idp, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 3600)
    async with supervised(tmp_path, idp, echo) as started:
        victim = started._workers[1]
        os.kill(victim.process.pid, signal.SIGSTOP)  # so that nothing comes behind what is torn
        victim._questions._reader.feed_data(TORN)
        victim.kill()
        await until(lambda: started._workers.get(1) not in (None, victim))
        await all_are_ready(started)
        assert await answers(started, 20) == {200}
        assert samples(started.registry, "mcp_sidecar_worker_deaths_total") == 1
        assert samples(started.registry, "mcp_sidecar_background_failures_total") == 0
        assert await started.reloader.reload() == ()


async def test_workers_killed_while_they_tell_their_metrics_are_replaced(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with supervised(tmp_path, idp, echo) as started, aiohttp.ClientSession() as session:
        for number in (1, 2):
            victim = started._workers[number].process.pid
            scrapes = [asyncio.create_task(session.get(f"{started.admin_url}/metrics")) for _ in range(20)]
            await asyncio.wait(scrapes, return_when=asyncio.FIRST_COMPLETED)
            os.kill(victim, signal.SIGKILL)
            assert {answer.status for answer in await asyncio.gather(*scrapes)} == {200}
            await until(lambda victim=victim: not is_alive(victim))  # type: ignore[misc]
            await all_are_ready(started)
        assert await answers(started, 20) == {200}
        assert await started.reloader.reload() == ()


async def test_connections_go_to_the_others_while_a_worker_cannot_start(
    tmp_path: Path, idp: Idp, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT_SECONDS", 1.0)
    async with supervised(tmp_path, idp, echo) as started:
        victim = started._workers[1].process.pid
        lock = os.open(tmp_path / "audit" / "chain-1" / "lock", os.O_RDWR)
        waiting = asyncio.ensure_future(asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX))
        os.kill(victim, signal.SIGKILL)
        await waiting  # whoever wants to start meanwhile finds the chain locked
        await until(lambda: 1 not in started._shared._traffic._sockets)
        assert await answers(started, 30) == {200}
        os.close(lock)
        await until(lambda: 1 in started._workers)
        await all_are_ready(started)
        assert await answers(started, 30) == {200}
        assert samples(started.registry, "mcp_sidecar_background_failures_total") == 0


async def test_a_worker_that_keeps_a_configuration_that_all_others_gave_back_is_ended(
    tmp_path: Path, idp: Idp, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with supervised(tmp_path, idp, echo) as started:
        before = started._workers[1]
        hangs, other = before.process.pid, started._workers[2].process.pid
        # It will read of the new configuration later, and that it was taken back too late.
        os.kill(hangs, signal.SIGSTOP)
        monkeypatch.setattr(supervisor, "START_SECONDS", 2.0)
        problems = await started.reloader.reload()
        assert [(problem.file, problem.message) for problem in problems] == [
            ("worker 1", "gives no answer: TimeoutError")
        ]
        await until(lambda: not is_alive(hangs))
        assert is_alive(other)
        monkeypatch.undo()
        await until(lambda: started._workers.get(1) not in (None, before))
        await all_are_ready(started)
        assert await started.reloader.reload() == ()


def test_a_listener_that_was_withdrawn_gets_nothing_and_listens_again_on_the_same_port() -> None:
    listeners = Listeners("127.0.0.1", 0, 2)
    kept = socket.socket(fileno=os.dup(listeners.file(2)))
    kept.settimeout(5)
    listeners.withdraw(1)
    try:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", listeners.port), 5).close()
            kept.accept()[0].close()
        with socket.socket(fileno=os.dup(listeners.file(1))) as again:
            assert again.getsockname() == kept.getsockname()
    finally:
        kept.close()
        listeners.close()


async def test_a_background_task_that_fails_is_counted_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.0)
    registry, begun = CollectorRegistry(), 0
    done = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise KeyError("nobody foresaw this")
        done.set()
        await asyncio.Event().wait()

    tasks = Background(Instruments(registry, "sidecar"))
    tasks.start("test", work)
    async with asyncio.timeout(5):
        await done.wait()
    await tasks.stop()
    assert samples(registry, "mcp_sidecar_background_failures_total") == 2
