"""Many at once: ten thousand connections, no files left, and any mixture of requests is counted and written down."""

import asyncio
import json
import random
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from auth_sidecar import audit_chain
from auth_sidecar.app import Sidecar
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_verify import verify
from contract.instruments import closed_label_sets
from contract.metric import Kind
from contract.metrics import CATALOGUE
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import KEY, Start, call, configuration, records, samples
from tests.auth_sidecar.test_cases import modern, routes
from tests.auth_sidecar.test_command import program

CONNECTIONS = 10_000
MOST_MEGABYTES = 400
"""What a sidecar with so many connections may hold; without any it holds about 70."""


def address(url: str) -> tuple[str, int]:
    """Return what a socket connects to."""
    host, port = url.split("/")[2].split(":")
    return host, int(port)


def resident(pid: int) -> float:
    """Return the megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def question(token: str | None) -> bytes:
    """Return a whole request."""
    body = json.dumps(call("search_knowledge")).encode()
    head = f"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n{f'Authorization: Bearer {token}' if token else 'X: y'}\r\n\r\n".encode() + body


@asynccontextmanager
async def opened(url: str, count: int, request: bytes) -> AsyncIterator[list[socket.socket]]:
    """Open connections, send a request over each, and yield them without waiting for answers."""
    with ExitStack() as stack:

        def all_of_them() -> list[socket.socket]:
            made = []
            for _ in range(count):
                made.append(stack.enter_context(socket.create_connection(address(url), timeout=30)))
                made[-1].sendall(request)
            return made

        yield await asyncio.to_thread(all_of_them)


def statuses(connections: list[socket.socket]) -> Counter[int]:
    """Return the status of the answer on each connection, 0 where it was closed."""
    heads = [connection.recv(65536) for connection in connections]
    return Counter(int(head.split(b" ", 2)[1]) if head else 0 for head in heads)


async def test_ten_thousand_connections_stay_open_and_are_answered(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        async with (
            program(sidecars.write(tmp_path, configuration(idp.url, echo.url))) as (process, url, admin_url),
            opened(url, CONNECTIONS, b"GET /kb/mcp HTTP/1.1\r\nHost: localhost\r\n\r\n") as idle,
        ):
            assert await asyncio.to_thread(statuses, idle) == {401: CONNECTIONS}
            # All are open and silent now; a tenth of them asks again, with a token.
            active = idle[:: CONNECTIONS // 1000]
            for connection in active:
                connection.sendall(question(mint()))
            assert await asyncio.to_thread(statuses, active) == {200: len(active)}
            assert resident(process.pid) < MOST_MEGABYTES
            async with aiohttp.ClientSession() as session, session.get(f"{admin_url}/metrics") as response:
                line = f'mcp_audit_chain_length{{chain="0"}} {CONNECTIONS + len(active) + 1:.1f}'
                assert line in await response.text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_sidecar_without_files_left_goes_on_when_there_are_some(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    async with program(sidecars.write(tmp_path, configuration(idp.url, echo.url))) as (process, url, _):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (120, 120))
        async with opened(url, 300, question(None)):
            assert process.returncode is None
        async with asyncio.timeout(20), opened(url, 1, question(mint())) as last:
            assert await asyncio.to_thread(statuses, last) == {200: 1}


async def test_after_any_load_the_log_the_counters_and_the_answers_agree(
    start_sidecar: Start, echo: Echo, tmp_path: Path
) -> None:
    limits = {"lockout": {"failures": 40, "window": "1h", "duration": "1h"}}
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0}, limits=limits)
    chance = random.Random(7)  # noqa: S311 - a mixture, not a secret
    good, headers = modern("search_knowledge")
    proxied = {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/kb/mcp", "X-Forwarded-Host": "localhost"}
    tokens = [mint(), mint(roles=[]), mint(exp=1), "nonsense", None]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    async def one(session: aiohttp.ClientSession) -> int:
        token = chance.choice(tokens)
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        kind = chance.randrange(6)
        if kind == 0:
            return await raw(sidecar.url, b"\x16\x03\x01 not HTTP\r\n\r\n")
        if kind == 1:
            return await raw(sidecar.forward_url, b"nor this\r\n\r\n")
        if kind == 2:
            return (await session.options(f"{sidecar.url}/kb/mcp", headers=preflight)).status
        if kind == 3:
            return (await session.get(sidecar.forward_url, headers={**headers, **proxied, **bearer})).status
        message = good if kind == 4 else [good, good]
        return (await session.post(f"{sidecar.url}/kb/mcp", json=message, headers={**headers, **bearer})).status

    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(one(session) for _ in range(400)))
    found = records(tmp_path)
    assert len(found) == len(answers) == 400
    # What nginx would not understand is passed on as 403; everything else is answered as it was recorded.
    recorded = Counter(record["status"] if record["mode"] == "proxy" else None for record in found)
    assert Counter(record["reason"] for record in found).keys() >= {"ok", "malformed_request", "locked_out", "expired"}
    assert recorded[200] <= Counter(answers)[200] <= recorded[200] + recorded[None]
    successes = samples(sidecar.registry, "mcp_auth_authentications_total", result="success")
    assert samples(sidecar.registry, "mcp_auth_authentications_total") == 400
    assert samples(sidecar.registry, "mcp_auth_decision_duration_seconds_count") == 400
    assert successes == sum(record["event"] in ("auth_success", "authz_allow", "authz_deny") for record in found)
    for reason, count in Counter(record["reason"] for record in found if record["event"] == "auth_failure").items():
        assert samples(sidecar.registry, "mcp_auth_authentications_total", result="failure", reason=reason) == count
    walk = verify(tmp_path / "audit", [Sealer(KEY.encode())])
    assert walk.is_whole
    assert walk.link.length == samples(sidecar.registry, "mcp_audit_events_total") == 401
    assert audit_chain.chains(tmp_path / "audit").keys() == {"0"}


async def test_everything_that_can_be_named_stands_at_0_before_the_first_request(sidecar: Sidecar) -> None:
    """The first burst after a start must be seen: `increase` knows nothing of a series that begins with it."""
    several = {"mcp_sidecar_workers", "mcp_sidecar_worker_deaths_total"}
    known = {"role": (*sidecar.settings.policy.roles, "none"), "issuer": ("demo",), "service": ("sidecar",)}
    there = {(s.name, tuple(s.labels.values())) for family in sidecar.registry.collect() for s in family.samples}
    missing = [
        (name, labels)
        for name, metric in CATALOGUE.items()
        if "sidecar" in metric.services and name not in several and metric.kind is not Kind.HISTOGRAM
        for labels in closed_label_sets(metric, known)
        if (name, labels) not in there
    ]
    assert missing == []
    assert ("mcp_auth_decision_duration_seconds_count", ("forward",)) in there
    assert ("mcp_auth_fail_open_total", ("audit",)) in there
    assert samples(sidecar.registry, "mcp_auth_authentications_total") == 0


async def raw(url: str, data: bytes) -> int:
    """Send bytes and return the status that comes back."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(data)
    head = await reader.readline()
    writer.close()
    return int(head.split(b" ", 2)[1])
