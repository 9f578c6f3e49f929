"""Requests as bytes, for what no HTTP client would send."""

import asyncio
import json
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
    body = json.dumps(message).encode()
    credential = token if token is not None else mint().encode()
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Authorization: Bearer " + credential]
    lines += [f"{name}: {value}".encode() for name, value in (*pairs, ("Content-Length", str(len(body))))]
    if "Connection" not in dict(pairs):
        lines.append(b"Connection: close")
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
