"""Servers that do anything: each gets its outcome, none delays another, and none fills the memory."""

import asyncio
import resource
import time
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from contract.instruments import Instruments
from contract.vocabulary import ProbeOutcome
from exporter.clients import Clients
from exporter.config import ExporterConfig
from exporter.service import Exporter
from tests.exporter.certificates import self_signed
from tests.exporter.conftest import Look
from tests.exporter.running import result_of
from tests.exporter.servers import (
    DISCOVERED,
    GOOD,
    Handler,
    Request,
    always,
    answering,
    http,
    read_request,
    rpc_error,
    rpc_result,
    serving,
    until,
)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


async def garbage_bytes(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(bytes(range(256)) * 20)
    await writer.drain()


async def fifty_mebibytes(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(800):
        writer.write(chunk)
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def one_byte_a_second(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"content-length: 1000\r\n\r\n{")
    while True:
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b" ")


async def in_pieces(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    for start in range(0, len(GOOD), 40):
        writer.write(GOOD[start : start + 40])
        await writer.drain()
        await asyncio.sleep(0.005)


async def headers_drop_by_drop(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD)
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)


async def headers_without_end(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"x: " + b"y" * 200_000)
    await writer.drain()
    await asyncio.sleep(60)


async def silent(reader: Reader, writer: Writer) -> None:
    await reader.read()


async def hangs_up(reader: Reader, writer: Writer) -> None:
    return


async def hangs_up_after_reading(reader: Reader, writer: Writer) -> None:
    await read_request(reader)


async def hangs_up_in_the_body(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"content-length: 1000\r\n\r\n{")
    await writer.drain()


async def answers_anything(reader: Reader, writer: Writer) -> None:
    await reader.read(1)
    writer.write(http(400, "not HTTP", "text/plain"))
    await writer.drain()


async def events_forever(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(EVENTS)
    while True:
        writer.write(b': still here\n\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n')
        await writer.drain()
        await asyncio.sleep(0.05)


async def one_event_without_end(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(EVENTS)
    while True:
        writer.write(b"data: " + b"x" * 65536 + b"\n")
        await writer.drain()


async def stream_without_answer(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(EVENTS + b": nothing to say\n\n")
    await writer.drain()


async def answer_then_stream_goes_on(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(EVENTS + b'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n')
    writer.write(f"data: {rpc_result(DISCOVERED)}\n\n".encode())
    while True:
        writer.write(b": more\n\n")
        await writer.drain()
        await asyncio.sleep(0.05)


def redirect_loop(request: Request) -> bytes:
    return http(307, location=f"http://{request.headers['host']}{request.path}")


def compressed(_request: Request) -> bytes:
    return http(200, b"\x1f\x8b" + b"\0" * 100, content_encoding="gzip")


CASES: dict[str, tuple[Handler, ProbeOutcome]] = {
    "well": (always(GOOD), ProbeOutcome.OK),
    "garbage": (garbage_bytes, ProbeOutcome.PROTOCOL_ERROR),
    "web page": (always(http(200, "<h1>hello</h1>", "text/html")), ProbeOutcome.PROTOCOL_ERROR),
    "empty": (always(http(200)), ProbeOutcome.PROTOCOL_ERROR),
    "list": (always(http(200, "[1]")), ProbeOutcome.PROTOCOL_ERROR),
    "50 MiB": (fifty_mebibytes, ProbeOutcome.PROTOCOL_ERROR),
    "50 MiB announced": (always(HEAD + b"content-length: 52428800\r\n\r\n"), ProbeOutcome.PROTOCOL_ERROR),
    "compressed": (answering(compressed), ProbeOutcome.PROTOCOL_ERROR),
    "one byte a second": (one_byte_a_second, ProbeOutcome.TIMEOUT),
    "in pieces": (in_pieces, ProbeOutcome.OK),
    "headers drop by drop": (headers_drop_by_drop, ProbeOutcome.TIMEOUT),
    "headers without end": (headers_without_end, ProbeOutcome.PROTOCOL_ERROR),
    "silent": (silent, ProbeOutcome.TIMEOUT),
    "hangs up": (hangs_up, ProbeOutcome.CONNECT_ERROR),
    "hangs up after reading": (hangs_up_after_reading, ProbeOutcome.CONNECT_ERROR),
    "hangs up in the body": (hangs_up_in_the_body, ProbeOutcome.PROTOCOL_ERROR),
    "redirect loop": (answering(redirect_loop), ProbeOutcome.HTTP_ERROR),
    "not found": (always(http(404, "no", "text/plain")), ProbeOutcome.HTTP_ERROR),
    "gateway": (always(http(502, "bad gateway", "text/plain")), ProbeOutcome.HTTP_ERROR),
    "wrong id": (always(http(200, rpc_result(DISCOVERED, 2))), ProbeOutcome.PROTOCOL_ERROR),
    "id as text": (always(http(200, rpc_result(DISCOVERED, "1"))), ProbeOutcome.PROTOCOL_ERROR),
    "id true": (always(http(200, rpc_result(DISCOVERED, True))), ProbeOutcome.PROTOCOL_ERROR),
    "result is text": (always(http(200, rpc_result("fine"))), ProbeOutcome.PROTOCOL_ERROR),
    "result lacks members": (always(http(200, rpc_result({}))), ProbeOutcome.PROTOCOL_ERROR),
    "error without code": (always(http(200, '{"jsonrpc":"2.0","id":1,"error":"x"}')), ProbeOutcome.PROTOCOL_ERROR),
    "events forever": (events_forever, ProbeOutcome.TIMEOUT),
    "one event without end": (one_event_without_end, ProbeOutcome.PROTOCOL_ERROR),
    "stream without answer": (stream_without_answer, ProbeOutcome.PROTOCOL_ERROR),
    "stream that goes on": (answer_then_stream_goes_on, ProbeOutcome.OK),
    "unauthorized": (always(http(401)), ProbeOutcome.AUTH_ERROR),
    "forbidden": (always(http(403)), ProbeOutcome.AUTH_ERROR),
    "refuses every version": (always(http(400, rpc_error(-32022, "no"))), ProbeOutcome.DEGRADED),
    "lacks discover": (always(http(404, rpc_error(-32601, "no"))), ProbeOutcome.DEGRADED),
}


@pytest.mark.parametrize("case", CASES)
async def test_each_has_its_outcome(look: Look, case: str) -> None:
    handle, expected = CASES[case]
    async with serving(handle) as url:
        result = await look(f"{url}/mcp", timeout=0.5)
    assert result.outcome is expected, result.detail
    assert result.detail or expected is ProbeOutcome.OK
    assert result.duration_seconds < 1


async def test_nothing_listening_is_a_connect_error(look: Look) -> None:
    async with serving(silent) as url:
        pass
    assert (await look(f"{url}/mcp")).outcome is ProbeOutcome.CONNECT_ERROR


async def test_name_that_does_not_resolve_is_a_connect_error(look: Look) -> None:
    result = await look("http://no-such-host.invalid/mcp")
    assert result.outcome is ProbeOutcome.CONNECT_ERROR


async def test_protected_server_is_degraded_when_we_have_no_credentials(look: Look) -> None:
    challenge = 'Bearer resource_metadata="http://a/.well-known/oauth-protected-resource"'
    async with serving(always(http(401, www_authenticate=challenge))) as url:
        without = await look(url)
        refused = await look(url, credentials="ours")
    assert without.outcome is ProbeOutcome.DEGRADED
    assert without.detail.startswith("alive but protected, and no credentials are configured")
    assert refused.outcome is ProbeOutcome.AUTH_ERROR


@pytest.mark.parametrize("case", ["self-signed", "expired", "closed", "no TLS at all"])
async def test_broken_tls_is_a_tls_error(look: Look, tmp_path: Path, case: str) -> None:
    expired = -1 if case == "expired" else 1
    tls = self_signed(tmp_path, expired).context if case in ("self-signed", "expired") else None
    handle = {"closed": hangs_up, "no TLS at all": answers_anything}.get(case, always(GOOD))
    async with serving(handle, tls) as url:
        result = await look(url.replace("http:", "https:"))
    assert result.outcome is ProbeOutcome.TLS_ERROR, result.detail


async def test_certificate_of_our_own_ca_is_trusted(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    async with serving(always(GOOD), made.context) as url:
        client = Clients(session, {}).make(url, None, made.ca_file)
        answer = await client.send("GET", {})
    assert answer[0] == 200


@pytest.fixture
async def crowd() -> AsyncIterator[dict[str, str]]:
    """Every hostile server at once, by case."""
    async with AsyncExitStack() as stack:
        yield {case: await stack.enter_async_context(serving(handle)) for case, (handle, _) in CASES.items()}


@pytest.fixture
def watch(session: aiohttp.ClientSession, instruments: Instruments) -> Callable[[dict[str, str]], Exporter]:
    def made(urls: dict[str, str]) -> Exporter:
        agents = [
            {"name": case.replace(" ", "-"), "type": "planner", "url": f"{url}/mcp"} for case, url in urls.items()
        ]
        defaults = {"interval": "1s", "timeout": "500ms"}
        return Exporter(ExporterConfig.model_validate({"agents": agents, "defaults": defaults}), session, instruments)

    return made


async def test_none_delays_another(watch: Callable[[dict[str, str]], Exporter], crowd: dict[str, str]) -> None:
    exporter = watch(crowd)
    started = time.monotonic()
    await exporter.start()
    await until(exporter.fleet.has_been_probed)
    took = time.monotonic() - started
    await exporter.close()
    outcomes = {name: agent.result.outcome for name, agent in exporter.fleet.agents.items() if agent.result}
    assert outcomes == {case.replace(" ", "-"): outcome for case, (_, outcome) in CASES.items()}
    assert took < 3, "the first round takes little longer than one time-out"
    assert result_of(exporter, "well").duration_seconds < 0.4


async def test_memory_stays_flat(watch: Callable[[dict[str, str]], Exporter], crowd: dict[str, str]) -> None:
    exporter = watch(crowd)
    await exporter.start()
    await until(exporter.fleet.has_been_probed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = exporter.fleet.agents["50-MiB"].probed_at
    await until(lambda: exporter.fleet.agents["50-MiB"].probed_at > seen + 3, within=20)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await exporter.close()
    assert after - before < 30_000, f"{after - before} KiB more after several rounds"
