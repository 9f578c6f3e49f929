"""The auth sidecar: decisions beside HAProxy and mod_auth_openidc, the proxy beside nginx, memory with 1,000 streams.

Programs that are measured have one core, the load generator and the server behind the other; all take turns in one run.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp

from bench.gateways import ALONE, APACHE, HAPROXY, NGINX, OURS, Gateways
from bench.load import Asking, Turns, take_turns
from bench.report import Measure, compared, measured

STREAMS = 1000
LATENCY_ROUNDS = 15
"""More than elsewhere, so that one of them is quiet on a busy machine."""
ASKED = {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/bench/mcp", "X-Forwarded-Host": "localhost"}
CALL = (
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"query":"weather"},"_meta":'
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
)
CALL_HEADERS = {
    "Host": "localhost", "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "search",
}  # fmt: skip


def run() -> Iterator[Measure]:
    """Measure everything that the design has a budget for."""
    if len(os.sched_getaffinity(0)) < 2:
        print("sidecar: needs two cores, one for the load", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        gateways = Gateways(Path(temporary))
        yield from _decisions(gateways)
        yield from _proxy(gateways)
        yield _streams(gateways)


class _Case(NamedTuple):
    name: str
    tokens: list[str]
    at_least: float


def _decisions(gateways: Gateways) -> Iterator[Measure]:
    """Ask ours and the peers about repeated and about distinct tokens."""
    cases = (_Case("repeated token", gateways.tokens[:1], 1.2), _Case("another token each", gateways.tokens, 0.4))
    with gateways.sidecar(1) as (_, ours), gateways.haproxy() as haproxy, gateways.apache() as apache:
        for case in cases:
            turns = take_turns([ours, haproxy, apache], Asking(case.tokens, {"Host": "localhost", **ASKED}))
            what, field = f"decisions, {case.name}", "per_cpu_second"
            for peer, budget in ((HAPROXY, case.at_least), (APACHE, None)):
                row = compared(what, turns.of(field, OURS), "/CPU s", peer, turns.of(field, peer))
                yield row._replace(at_least=budget)
            yield from _by_the_clock(what, turns, HAPROXY, APACHE)


def _proxy(gateways: Gateways) -> Iterator[Measure]:
    """Send small calls through ours and through nginx, and to the server behind alone."""
    with ExitStack() as stack:
        alone, behind = stack.enter_context(gateways.server())
        ours, _ = stack.enter_context(gateways.sidecar(behind))
        nginx = stack.enter_context(gateways.nginx(behind))
        many = Asking(gateways.tokens[:1], CALL_HEADERS, body=CALL)
        turns = take_turns([ours, nginx], many)
        field = "per_cpu_second"
        row = measured("proxied calls", turns.of(field, OURS), "/CPU s", {NGINX: turns.of(field, NGINX)})
        yield row._replace(at_least=4000)
        yield from _by_the_clock("proxied calls", turns, NGINX)
        yield from _added(take_turns([alone, ours, nginx], many._replace(connections=1), LATENCY_ROUNDS))


def _added(turns: Turns) -> Iterator[Measure]:
    """Tell how much later answers come than without a proxy, by the quietest turn of each: other work only adds."""
    for field, name, budget in (("p50_milliseconds", "p50", 0.5), ("p99_milliseconds", "p99", None)):
        base = min(turns.of(field, ALONE))
        ours, theirs = ([latency - base for latency in turns.of(field, proxy)] for proxy in (OURS, NGINX))
        row = measured(f"proxy adds at {name}, one client, quietest turn", ours, "ms", {NGINX: [min(theirs)]})
        yield row._replace(value=min(ours), at_most=budget)


def _by_the_clock(what: str, turns: Turns, *peers: str) -> Iterator[Measure]:
    """Tell what a user sees, which other work on the machine disturbs."""
    units: Mapping[str, tuple[str, str]] = {
        "per_second": ("by the clock", "/s"), "p50_milliseconds": ("p50", "ms"), "p99_milliseconds": ("p99", "ms"),
    }  # fmt: skip
    for field, (name, unit) in units.items():
        theirs = {peer: turns.of(field, peer) for peer in peers}
        yield measured(f"{what}, {name}", turns.of(field, OURS), unit, theirs)


def _streams(gateways: Gateways) -> Measure:
    """Hold a thousand streams open and look at the memory."""

    async def measure() -> float:
        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(stream, "127.0.0.1", 0, backlog=STREAMS)
        with gateways.sidecar(server.sockets[0].getsockname()[1]) as (ours, _):
            headers = {"Authorization": f"Bearer {gateways.tokens[0]}"}
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                responses = [await session.get(ours.url) for _ in range(STREAMS)]
                for response in responses:
                    await response.content.readany()
                memory = ours.program.peak_memory_mebibytes()
                for response in responses:
                    response.close()
        server.close()
        return memory

    return Measure(f"memory with {STREAMS:,} open streams", asyncio.run(measure()), "MiB", at_most=150)
