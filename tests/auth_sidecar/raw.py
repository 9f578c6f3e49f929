"""Requests as bytes, for what no HTTP client would send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.auth_sidecar.issuer import mint


class RawAnswer(NamedTuple):
    """What came back until the other side closed."""

    status: int
    head: bytes
    body: bytes


def request_of(
    message: Any, *pairs: tuple[str, str], token: bytes | None = None, path: str = "/kb/mcp", method: str = "POST"
) -> bytes:
    """Return a request that ends its connection; a header that is given is not sent by itself, unless given twice."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    credential = token if token is not None else mint().encode()
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Authorization: Bearer " + credential]
    given = (*pairs, ("Content-Length", str(len(body))))
    lines += [f"{name}: {value}".encode("utf-8", "surrogateescape") for name, value in given]
    ours = (("Connection", b"close"), ("Content-Type", b"application/json"))
    lines += [name.encode() + b": " + value for name, value in ours if name not in dict(pairs)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def exchange(url: str, data: bytes, seconds: float = 5.0) -> RawAnswer:
    """Send bytes and return the first answer, which may stay open."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(seconds):
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b""
    finally:
        writer.close()
    return RawAnswer(int(head.split(b" ", 2)[1]), head, body)


@asynccontextmanager
async def answering(headers: bytes = b"", first: bytes = b"HTTP/1.1 200 OK\r\n") -> AsyncIterator[str]:
    """Run a server that answers one request a connection with these bytes and an empty result; yield its endpoint."""
    body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
    form = b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first + headers + form + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
