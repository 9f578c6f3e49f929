"""Several workers on one port: limits, revocations, metrics and audit chains are as right as with one."""

import asyncio
import functools
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from auth_sidecar import audit_chain, supervisor, worker_process
from auth_sidecar.__main__ import main
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_verify import verify
from auth_sidecar.merged_metrics import STATES, MergedMetrics
from contract.metric import Kind
from contract.metrics import CATALOGUE
from contract.ports import free_port
from tests.auth_sidecar import certificates, sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import KEY, call, configuration
from tests.auth_sidecar.test_cases import modern, routes
from tests.auth_sidecar.test_command import program
from tests.auth_sidecar.test_forward_auth import URI

WORKERS = 2


class Running(NamedTuple):
    """A supervisor with its workers."""

    process: asyncio.subprocess.Process
    url: str
    admin_url: str
    folder: Path

    def workers(self) -> list[int]:
        """Return the process ids of its children."""
        return children(self.process.pid)

    async def post(self, token: str | None, tool: str = "search_knowledge") -> int:
        """Send a call over a connection of its own and return the status."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{self.url}/kb/mcp", json=call(tool), headers=headers) as response,
        ):
            await response.read()
            return response.status

    async def metrics(self) -> dict[str, float]:
        """Return the sum of each metric's samples, and single samples by `name{label=value}`."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin_url}/metrics") as response:
            text = await response.text()
        found: dict[str, float] = {}
        for sample in (s for family in text_string_to_metric_families(text) for s in family.samples):
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
            for label, value in sample.labels.items():
                key = f"{sample.name}{{{label}={value}}}"
                found[key] = found.get(key, 0.0) + sample.value
        return found

    async def admin(self, path: str, **options: Any) -> tuple[int, str]:
        """Send a POST to the admin port."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.admin_url}{path}", **options) as response,
        ):
            return response.status, await response.text()


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_listening(url: str) -> bool:
    """Whether connections to a URL's port are accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


@asynccontextmanager
async def running(folder: Path, idp: Idp, echo: Echo, **changed: Any) -> AsyncIterator[Running]:
    """Run a sidecar of several workers."""
    options = {"workers": WORKERS, "revocations_file": "revoked.json", **changed}
    file = sidecars.write(folder, configuration(idp.url, echo.url, **options))
    async with program(file) as (process, url, admin_url):
        yield Running(process, url, admin_url, folder)


def lengths(folder: Path) -> dict[str, int]:
    """Return the length of each chain, after all are found whole."""
    walks = {name: verify(path, [Sealer(KEY.encode())]) for name, path in audit_chain.chains(folder / "audit").items()}
    assert [problem for walk in walks.values() for problem in walk.problems] == []
    return {name: walk.link.length for name, walk in walks.items()}


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return the records of decisions in all chains."""
    paths = audit_chain.chains(folder / "audit").values()
    lines = [line for path in paths for segment in audit_chain.segments(path) for line in audit_chain.lines(segment)]
    return [record for record in map(json.loads, lines) if record["event"] != "admin"]


async def test_counters_are_the_log_and_the_answers_whoever_gave_them(
    tmp_path: Path, idp: Idp, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        token = mint()
        tries = [(token, "search_knowledge")] * 40 + [("bad", "x")] * 20 + [(token, "delete_everything")] * 20
        statuses = await asyncio.gather(*(sidecar.post(*one) for one in tries))
        found = decisions(tmp_path)
        assert sorted(record["status"] for record in found) == sorted(statuses)
        metrics = await sidecar.metrics()
        assert metrics["mcp_auth_authentications_total{result=failure}"] == 20
        assert metrics["mcp_auth_authorizations_total"] == 60
        assert metrics["mcp_auth_decision_duration_seconds_count"] == len(found) == 80
        assert metrics["mcp_sidecar_workers"] == WORKERS
        assert metrics["process_resident_memory_bytes"] > WORKERS * 30e6
        assert metrics["process_start_time_seconds"] > 1e9
        assert metrics["mcp_config_last_reload_successful"] == 1
        chains = lengths(tmp_path)
        assert chains.keys() == {"0", "1", "2"}
        assert sum(chains.values()) == metrics["mcp_audit_events_total"]
        for chain, length in chains.items():
            assert metrics[f"mcp_audit_chain_length{{chain={chain}}}"] == length
        words = ["--config", str(tmp_path / "sidecar.yaml")]
        assert main(["audit", "verify", *words]) == 0
        assert "chain 2: whole" in capsys.readouterr().out
        assert main(["audit", "query", *words, "--reason", "no_permission"]) == 0
        times = [json.loads(line)["ts"] for line in capsys.readouterr().out.splitlines()]
        assert len(times) == 20
        assert times == sorted(times)


async def test_no_client_has_more_tries_than_with_one_worker(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    limits = {"lockout": {"failures": 5, "window": "1h", "duration": "1h"}}
    async with running(tmp_path, idp, echo, limits=limits) as sidecar:
        assert [await sidecar.post(f"bad{n}") for n in range(12)] == [401] * 5 + [429] * 7
        metrics = await sidecar.metrics()
        assert metrics["mcp_auth_lockouts_total"] == metrics["mcp_auth_locked_clients"] == 1
        # Not even the death of whoever counted gives new tries.
        for pid in sidecar.workers():
            os.kill(pid, signal.SIGKILL)
        assert await sidecar.post("bad") == 429


async def test_a_rate_is_one_for_all_workers(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    limits = {"rate": {"requests": 1, "per": "1h", "burst": 10}}
    async with running(tmp_path, idp, echo, limits=limits) as sidecar:
        token = mint()
        statuses = await asyncio.gather(*(sidecar.post(token) for _ in range(30)))
        assert sorted(statuses) == [200] * 10 + [429] * 20


async def test_a_revocation_holds_in_every_worker_once_it_is_answered(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        token = mint(jti="stolen")
        assert set(await asyncio.gather(*(sidecar.post(token) for _ in range(20)))) == {200}
        assert await sidecar.admin("/-/revocations", json={"token_id": "stolen"}) == (201, "revoked\n")
        assert set(await asyncio.gather(*(sidecar.post(token) for _ in range(20)))) == {401}
        assert (await sidecar.metrics())["mcp_auth_tokens_revoked"] == 1


async def test_whoever_takes_the_place_of_a_dead_worker_lets_nobody_in_without_revocations(
    tmp_path: Path, idp: Idp, echo: Echo
) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        token = mint()
        assert await sidecar.post(token) == 200
        (tmp_path / "revoked.json").unlink()
        victim = sidecar.workers()[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: not is_alive(victim) and len(sidecar.workers()) == WORKERS)
        assert (await sidecar.admin("/-/reload"))[0] == 500
        async with asyncio.timeout(20):
            while set(await asyncio.gather(*(sidecar.post(token) for _ in range(12)))) != {500}:
                await asyncio.sleep(0.05)


async def test_a_reload_reaches_all_workers_or_none(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        file = tmp_path / "sidecar.yaml"
        good = file.read_text()
        file.write_text(good.replace("search_knowledge: knowledge:read", "search_knowledge: workflow:delete"))
        assert await sidecar.admin("/-/reload") == (200, "reloaded\n")
        token = mint()
        assert set(await asyncio.gather(*(sidecar.post(token) for _ in range(12)))) == {403}
        file.write_text("nonsense: true")
        assert (await sidecar.admin("/-/reload"))[0] == 500
        assert (await sidecar.metrics())["mcp_config_last_reload_successful"] == 0
        assert set(await asyncio.gather(*(sidecar.post(token) for _ in range(12)))) == {403}
        # Whoever takes the place of a dead worker starts with what is in force, whatever the file says by now.
        victim = sidecar.workers()[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: not is_alive(victim) and len(sidecar.workers()) == WORKERS)
        assert set(await asyncio.gather(*(sidecar.post(token) for _ in range(12)))) == {403}
        file.write_text(good)
        sidecar.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while set(await asyncio.gather(*(sidecar.post(token) for _ in range(12)))) != {200}:
                await asyncio.sleep(0.05)
        # A worker that cannot answer makes the reload a failure that names it.
        os.kill(sidecar.workers()[0], signal.SIGKILL)
        status, told = await sidecar.admin("/-/reload")
        assert (status, "gives no answer" in told) == (500, True)


async def test_a_dead_worker_is_replaced_and_counted_and_nothing_is_lost(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        token = mint()
        statuses = await asyncio.gather(*(sidecar.post(token) for _ in range(30)))
        before = await sidecar.metrics()
        for victim in sidecar.workers():
            os.kill(victim, signal.SIGKILL)
            # Connections wait for the successor; none is refused.
            statuses += await asyncio.gather(*(answered(sidecar, token) for _ in range(10)))
            await until(lambda victim=victim: not is_alive(victim) and len(sidecar.workers()) == WORKERS)  # type: ignore[misc]
        async with asyncio.timeout(20):
            while (after := await sidecar.metrics())["mcp_sidecar_workers"] != WORKERS:
                await asyncio.sleep(0.05)
        assert after["mcp_sidecar_worker_deaths_total"] == WORKERS
        assert all(after[name] >= before[name] for name in before if name.endswith(("_total", "_count", "_bucket")))
        found = decisions(tmp_path)
        assert len(found) >= statuses.count(200)
        lengths(tmp_path)
        died = [json.loads(line) for s in audit_chain.segments(tmp_path / "audit") for line in audit_chain.lines(s)]
        assert [record["worker"] for record in died if record.get("action") == "worker_died"] == [1, 2]


async def answered(sidecar: Running, token: str) -> int:
    """Return the status of a call, 0 when its worker died in the middle."""
    try:
        return await sidecar.post(token)
    except aiohttp.ClientError:
        return 0


async def test_kill_9_of_the_supervisor_leaves_nothing_running_and_nothing_lost(
    tmp_path: Path, idp: Idp, echo: Echo
) -> None:
    answers: list[int] = []
    async with running(tmp_path, idp, echo) as sidecar:
        token, workers = mint(), sidecar.workers()

        async def load() -> None:
            with suppress(aiohttp.ClientError, OSError):
                while True:
                    answers.append(await sidecar.post(token))

        loads = [asyncio.create_task(load()) for _ in range(6)]
        await until(lambda: len(answers) > 30)
        os.kill(workers[0], signal.SIGSTOP)  # one that hangs is no exception
        sidecar.process.kill()
        await until(lambda: not any(map(is_alive, workers)))
        await asyncio.gather(*loads)
    assert set(answers) == {200}
    assert len(decisions(tmp_path)) >= len(answers)
    before = lengths(tmp_path)
    async with running(tmp_path, idp, echo, workers=1) as sidecar:  # the workers' chains are at rest now
        assert await sidecar.post(mint()) == 200
        after, metrics = lengths(tmp_path), await sidecar.metrics()
        assert all(after[name] > length for name, length in before.items())
        async with asyncio.timeout(10):
            while (metrics := await sidecar.metrics()).get("mcp_audit_verified_length{chain=2}") != after["2"]:
                await asyncio.sleep(0.05)
        assert metrics["mcp_audit_chain_length{chain=2}"] == after["2"]


async def test_the_end_waits_for_open_requests_and_leaves_nothing(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    release, answer = asyncio.Event(), echo.answer

    async def slow(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await release.wait()
        return await answer(request)

    echo.answer = slow
    async with running(tmp_path, idp, echo, drain="10s") as sidecar:
        workers = sidecar.workers()
        opened = [asyncio.create_task(sidecar.post(mint())) for _ in range(6)]
        await until(lambda: len(echo.seen) == 6)
        sidecar.process.send_signal(signal.SIGTERM)
        await until(lambda: not is_listening(sidecar.url))
        release.set()
        assert await asyncio.gather(*opened) == [200] * 6
        async with asyncio.timeout(20):
            assert await sidecar.process.wait() == 0
        assert not any(map(is_alive, workers))
    assert all(length >= 2 for length in lengths(tmp_path).values())


async def test_workers_share_forward_auth_and_take_up_new_certificates(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    authority = certificates.authority(tmp_path / "tls")
    cert, key = certificates.issued(tmp_path / "tls", "server", "DNS:localhost,IP:127.0.0.1")
    place, tls = {"port": free_port()}, {"cert_file": str(cert), "key_file": str(key)}
    async with running(tmp_path, idp, echo, routes=routes(echo), forward_auth=place, tls=tls) as sidecar:
        host, port = sidecar.url.removeprefix("https://").split(":")

        async def serials() -> set[str]:
            ask = functools.partial(ssl.get_server_certificate, (host, int(port)), ca_certs=str(authority))
            return set(await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(12))))

        before = await serials()
        certificates.issued(tmp_path / "tls", "server", "DNS:localhost,IP:127.0.0.1")
        assert await sidecar.admin("/-/reload") == (200, "reloaded\n")
        after = await serials()
        assert (len(before), len(after), before & after) == (1, 1, set())
        headers = {**modern("search_knowledge")[1], **URI, "Authorization": f"Bearer {mint()}"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            url = f"http://127.0.0.1:{place['port']}/auth"
            answers = await asyncio.gather(*(session.get(url, headers=headers) for _ in range(12)))
            assert {answer.status for answer in answers} == {200}
        assert (await sidecar.metrics())["mcp_auth_decision_duration_seconds_count{mode=forward}"] == 12


async def test_a_worker_that_hangs_is_replaced(
    tmp_path: Path, idp: Idp, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(worker_process, "MOST_MISSES", 2)
    options = {"workers": WORKERS, "revocations_file": "revoked.json"}
    file = sidecars.write(tmp_path, configuration(idp.url, echo.url, **options))
    started = await supervisor.Supervisor(file, CollectorRegistry()).start(port=0, admin_port=0)
    try:
        victim = children(os.getpid())[0]
        os.kill(victim, signal.SIGSTOP)
        await until(lambda: not is_alive(victim))
        monkeypatch.undo()  # the one that takes its place may start as slowly as it likes
        await until(lambda: len(children(os.getpid())) == WORKERS)
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while (await session.get(f"{started.admin_url}/-/ready")).status != 200:
                await asyncio.sleep(0.05)
        assert sidecars.samples(started.registry, "mcp_sidecar_worker_deaths_total") == 1
    finally:
        await started.close()
    assert children(os.getpid()) == []


async def test_a_second_sidecar_on_the_same_port_or_log_does_not_start(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with running(tmp_path, idp, echo) as sidecar:
        port = sidecar.url.rpartition(":")[2]
        file = tmp_path / "other" / "sidecar.yaml"
        for folder, why in ((tmp_path / "audit", "unavailable"), (tmp_path / "other" / "audit", "in use")):
            file.parent.mkdir(exist_ok=True)
            audit = {"folder": str(folder), "key_file": "audit_key"}
            options = {"workers": 2, "revocations_file": "revoked.json", "audit": audit}
            sidecars.write(file.parent, configuration(idp.url, echo.url, **options))
            assert why in await failure(file, port)


async def failure(file: Path, port: str) -> str:
    """Return what a sidecar says that cannot start."""
    words = ["-m", "auth_sidecar", "--config", str(file), "--port", port, "--admin-port", "0"]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.PIPE)
    _, told = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    return told.decode()


def test_every_state_of_the_sidecar_has_a_meaning_for_several_workers() -> None:
    gauges = {name for name, metric in CATALOGUE.items() if metric.kind is Kind.GAUGE and "sidecar" in metric.services}
    assert gauges >= {name for name in STATES if name.startswith("mcp_")}
    # Each of the others is the same in all workers, or has a label that only one of them uses.
    assert gauges - STATES.keys() == {
        "mcp_auth_locked_clients", "mcp_auth_tokens_revoked", "mcp_audit_chain_length", "mcp_audit_chain_head",
        "mcp_audit_verified_length", "mcp_audit_chain_broken", "mcp_encryption_key_age_seconds", "mcp_build_info",
        "mcp_sidecar_workers",
    }  # fmt: skip


def test_the_oldest_keys_of_all_workers_are_told() -> None:
    name = "mcp_auth_jwks_last_refresh_timestamp_seconds"
    merged = MergedMetrics(CollectorRegistry())
    for worker, value in (("1", 500.0), ("2", 400.0), ("3", 0.0)):
        merged.keep(worker, [[name, "x", "gauge", [[name, {"issuer": "demo"}, value]]]])
    (family,) = merged.collect()
    assert [sample.value for sample in family.samples] == [400.0]
