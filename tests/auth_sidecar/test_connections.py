"""Connections of clients that are slow, silent or break off: nobody is held up, and nothing is kept for ever."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from auth_sidecar.app import Sidecar
from auth_sidecar.prompt_server import PromptServer
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.raw import request_of
from tests.auth_sidecar.sidecars import call, records

HEAD = b"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nX: "
WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def prompt(**options: float) -> AsyncIterator[int]:
    """Run a prompt server and yield its port."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(text="fine")

    def never(_request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError("everything sent here is HTTP")

    runner = web.ServerRunner(PromptServer(handle, never, **options))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _ends(streams: Streams) -> None:
    """Wait until the other side has closed; raises AssertionError when it says something instead."""
    reader, writer = streams
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def _answered(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(4) == b"fine"


@pytest.mark.parametrize("earlier", [0, 1, 2])
async def test_connections_that_never_finish_a_head_are_dropped_and_hold_up_nobody(earlier: int) -> None:
    async with prompt(head_seconds=0.3) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for reader, writer in slow:
            for _ in range(earlier):
                writer.write(WHOLE)
                await _answered(reader)
            writer.write(HEAD)
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"http://127.0.0.1:{port}/")).status == 200
            for streams in slow:
                await _ends(streams)
            assert (await session.get(f"http://127.0.0.1:{port}/")).status == 200


async def test_a_head_that_comes_letter_by_letter_gains_no_time() -> None:
    async with prompt(head_seconds=0.3) as port:
        streams = await asyncio.open_connection("127.0.0.1", port)
        streams[1].write(WHOLE)
        await _answered(streams[0])
        streams[1].write(HEAD)
        ending = asyncio.ensure_future(_ends(streams))
        while not ending.done():
            streams[1].write(b"a")
            await asyncio.sleep(0.02)  # this is how it comes
        await ending


async def test_idle_connections_are_closed() -> None:
    async with prompt(idle_seconds=0.3) as port:
        streams = await asyncio.open_connection("127.0.0.1", port)
        streams[1].write(WHOLE)
        await _answered(streams[0])
        await _ends(streams)


async def test_a_head_in_pieces_and_a_slow_body_are_no_reason_to_drop() -> None:
    async with prompt(head_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            for piece in (b"POST / HTTP/1.1\r\nHo", b"st: localhost\r\nContent-Length: 4\r\n\r\n", b"ab", b"cd"):
                writer.write(piece)
                await asyncio.sleep(0.4 if piece == b"ab" else 0.05)  # longer than a head may take
            await _answered(reader)
        writer.close()


@pytest.mark.parametrize("tail", [b"zz\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"])
async def test_broken_chunking_is_refused_at_once(
    sidecar: Sidecar, echo: Echo, tmp_path: Path, caplog: pytest.LogCaptureFixture, tail: bytes
) -> None:
    parts = urlsplit(sidecar.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = request_of(b"", ("Expect", "100-continue"), ("Connection", "keep-alive"))
    writer.write(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")  # now the body is waited for
        writer.write(tail)
        answer = await reader.read()
    writer.close()
    assert (answer[:13], answer.count(b"HTTP/1.1"), echo.seen) == (b"HTTP/1.1 400 ", 1, [])
    assert [(record["reason"], record["status"]) for record in records(tmp_path)] == [("malformed_request", 400)]
    assert "Traceback" not in caplog.text


async def test_a_client_that_waits_to_be_told_to_go_on_is_told(sidecar: Sidecar, echo: Echo) -> None:
    parts = urlsplit(sidecar.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head, _, body = request_of(call("search_knowledge"), ("Expect", "100-Continue")).partition(b"\r\n\r\n")
    async with asyncio.timeout(5):
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        answer = await reader.read()
    writer.close()
    assert (answer[:13], json.loads(echo.seen[0]["body"])) == (b"HTTP/1.1 200 ", call("search_knowledge"))


async def test_a_client_without_a_right_is_not_told_to_go_on(sidecar: Sidecar) -> None:
    parts = urlsplit(sidecar.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    data = request_of(call("search_knowledge"), ("Expect", "100-continue"), token=b"x")
    writer.write(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 401 Unauthorized\r\n"
    writer.close()
