"""Servers for tests of the exporter: real ones in a process of their own, and hostile ones on bare asyncio."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

SCRIPT = Path(__file__).with_name("real_server.py")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def real_server(python: Path | str = sys.executable, *options: str) -> Iterator[str]:
    """Run the SDK's server under an interpreter; yields its MCP URL."""
    command = [str(python), str(SCRIPT), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield url
        finally:
            process.terminate()


class Request(NamedTuple):
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def rpc(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one HTTP request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


def http(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """Write one HTTP answer."""
    content = body.encode() if isinstance(body, str) else body
    named = {"content-type": content_type, "content-length": str(len(content)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content


def rpc_result(result: object, request_id: object = 1) -> str:
    """Write a JSON-RPC result."""
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})


def rpc_error(code: int, message: str = "no", data: object = None, request_id: object = 1) -> str:
    """Write a JSON-RPC error."""
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message, "data": data}})


DISCOVERED: Mapping[str, Any] = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {},
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "small", "version": "1"}},
}
GOOD = http(200, rpc_result(DISCOVERED))
"""The answer of a modern server without tools to server/discover."""


@asynccontextmanager
async def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve connections with a handler; yields the base URL, and ends every connection at the end."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with suppress(ConnectionError, EOFError, ssl.SSLError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answering(answer: Callable[[Request], bytes]) -> Handler:
    """Return a handler that answers every request of a connection by a function."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(answer(await read_request(reader)))
            await writer.drain()

    return handle


def always(answer: bytes) -> Handler:
    """Return a handler that gives everybody the same answer."""
    return answering(lambda _request: answer)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait until a condition holds; fails after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)
