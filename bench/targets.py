"""Answers MCP and plain HTTP as fast as Python can, so that a benchmark measures who asks: `python -m bench.targets`.

Listens on many loopback addresses and ports, as a fleet does. Prints its first port when it is ready.
"""

import argparse
import asyncio
import socket
from typing import cast

import orjson
import uvloop

from contract.ports import free_port

_DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}},
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "bench-target", "version": "1.0.0"}},
}
_SCHEMA = {"type": "object", "properties": {"goal": {"type": "string", "maxLength": 2000}}, "required": ["goal"]}
_TOOLS = [{"name": name, "description": "A tool.", "inputSchema": _SCHEMA} for name in ("create_plan", "revise_plan")]
_INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "bench-target", "version": "1.0.0"},
}


def _answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-type: application/json", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _result(result: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})


def answers(is_legacy: bool, is_closing: bool) -> dict[bytes, bytes]:
    """Return the answers by what their request contains."""
    close = (b"connection: close",) if is_closing else ()
    discovered = _answer(b"200 OK", _result(_DISCOVERED), *close)
    refused = _answer(
        b"400 Bad Request", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"session"}}', *close
    )
    return {
        b'"server/discover"': refused if is_legacy else discovered,
        b'"tools/list"': _answer(b"200 OK", _result({"tools": _TOOLS}), *close),
        b'"initialize"': _answer(b"200 OK", _result(_INITIALIZED), b"mcp-session-id: bench", *close),
        b'"notifications/initialized"': _answer(b"202 Accepted", b"", *close),
        b"": _answer(b"200 OK", _result({}), *close),
    }


class Target(asyncio.Protocol):
    """One connection; requests come whole or in pieces, one after another."""

    def __init__(self, replies: dict[bytes, bytes], is_closing: bool) -> None:
        self._replies = replies
        self._is_closing = is_closing
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + _length(self._held[:end])
            if len(self._held) < whole:
                return
            request, self._held = self._held[end:whole], self._held[whole:]
            self._transport.write(next(reply for part, reply in self._replies.items() if part in request))
            if self._is_closing:
                self._transport.close()
                return


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length: ")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _sockets(addresses: int, ports: int) -> list[socket.socket]:
    """Listen on 127.0.0.1, 127.0.0.2, …, each with so many ports in a row."""
    first = free_port(ports)
    return [
        socket.create_server((f"127.0.0.{host + 1}", first + number), backlog=1024)
        for host in range(addresses)
        for number in range(ports)
    ]


async def _serve(options: argparse.Namespace) -> None:
    loop, replies = asyncio.get_running_loop(), answers(options.legacy, options.close)
    listening = _sockets(options.addresses, options.ports)
    for listener in listening:
        await loop.create_server(lambda: Target(replies, options.close), sock=listener)
    print(listening[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument("--addresses", type=int, default=1, help="loopback addresses to listen on")
    parser.add_argument("--ports", type=int, default=1, help="ports of each address")
    parser.add_argument("--legacy", action="store_true", help="speak the legacy era")
    parser.add_argument("--close", action="store_true", help="close the connection after every answer")
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
