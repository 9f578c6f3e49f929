"""A small HTTP/1.1 server for questions without a body: forward-auth is asked once per request of somebody else.

aiohttp's application stack costs several times what a decision costs; this is a protocol over httptools (the parser of
Node.js and uvicorn) with limits on size, number and time, and answers in the order of the questions.
"""

import asyncio
import contextlib
import functools
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""Longest time a request may take to arrive."""
IDLE_SECONDS = 75.0
"""Longest time a connection may be silent between requests."""
MAX_PIPELINED = 64
MAX_HEADERS = 128

Respond = Callable[[bytes], None]
Handler = Callable[["Question", Respond], None]

_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Question:
    """The head of a request; header names in lower case."""

    __slots__ = ("headers", "method", "peer", "repeated", "target")

    def __init__(self, peer: str, method: bytes, target: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
        self.peer = peer
        self.method = method
        self.target = target
        # The parser leaves blanks after a value, which are not part of it (RFC 9110, section 5.5).
        self.headers = {name.lower(): value.strip(b" \t") for name, value in pairs}
        self.repeated: set[bytes] = set()
        """Names that came more than once; `headers` has the last value."""
        if len(self.headers) != len(pairs):
            names = [name.lower() for name, _ in pairs]
            self.repeated = {name for name in names if names.count(name) > 1}


class Connection(asyncio.Protocol):
    """One connection; a request is handed on when its head is complete, its body is dropped."""

    def __init__(self, server: "LeanServer") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._slots: deque[list[bytes]] = deque()
        self._is_closing = False
        self.deadline = 0.0
        """Time of the loop's clock after which the connection is dropped."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the peer and start waiting for a request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are none by inheritance
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self.deadline = self._server.now() + REQUEST_SECONDS
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; whatever it does not understand ends the connection."""
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # A proxy has passed on what its client wants; the question itself is answered, then this ends.
            self._is_closing = True
            if not self._slots and self._transport:
                self._transport.close()
            return
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._refuse(_BAD)
            return
        if self._size > self._server.max_head_bytes:
            self._refuse(_TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; answers that are still coming go nowhere."""
        self._transport = None
        self._slots.clear()
        self._server.connections.discard(self)

    # httptools callbacks

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._pairs.append((name, value))

    def on_message_complete(self) -> None:
        """Hand the question on, with a slot that keeps its answer's place."""
        server, parser, slots = self._server, self._parser, self._slots
        if self._is_closing or len(slots) >= MAX_PIPELINED or len(self._pairs) > MAX_HEADERS:
            raise ValueError("nothing more is answered here")
        question = Question(self._peer, parser.get_method(), self._target, self._pairs)
        self._size, self._target, self._pairs = 0, b"", []
        self.deadline = server.now() + IDLE_SECONDS
        self._is_closing = not parser.should_keep_alive()
        slot: list[bytes] = []
        slots.append(slot)
        server.handler(question, functools.partial(self._answer, slot))

    def _answer(self, slot: list[bytes], answer: bytes) -> None:
        transport, slots = self._transport, self._slots
        if transport is None:
            return
        if slots[0] is slot and len(slots) == 1:
            slots.popleft()
            transport.write(answer)
        else:
            slot.append(answer)
            while slots and slots[0]:
                transport.write(slots.popleft()[0])
        if self._is_closing and not slots:
            transport.close()

    def _refuse(self, answer: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._server.malformed(self._peer)
            self._transport.write(answer)
            self._transport.close()

    def drop(self) -> None:
        """End the connection at once."""
        if self._transport:
            self._transport.abort()

    async def answered(self) -> None:
        """Wait until no answer is owed."""
        while self._slots and self._transport:  # noqa: ASYNC110 - happens once, at the end
            await asyncio.sleep(0.01)


class LeanServer:
    """A listening server: `.url`, `close()`."""

    def __init__(self, handler: Handler, malformed: Callable[[str], object], max_head_bytes: int = 32 << 10) -> None:
        """Take what answers, calling `respond` exactly once with a whole response, and what is told of the rest."""
        self.handler = handler
        self.malformed = malformed
        self.max_head_bytes = max_head_bytes
        self.connections: set[Connection] = set()
        self.now = asyncio.get_running_loop().time
        self.url = ""
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, listener: socket.socket | None = None) -> "LeanServer":
        """Listen, at a socket that listens already if there is one; port 0 takes a free one. Raises OSError."""
        place: dict[str, Any] = {"sock": listener} if listener else {"host": host, "port": port}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), backlog=1024, **place)
        self._sweeper = asyncio.ensure_future(self._sweep())
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def close(self, drain_seconds: float = 5.0) -> None:
        """Stop listening, let owed answers go out, drop what is left."""
        if self._server:
            self._server.close()
        if self._sweeper:
            self._sweeper.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):
                await self._all_answered()
        for connection in list(self.connections):
            connection.drop()

    async def _all_answered(self) -> None:
        for connection in list(self.connections):
            await connection.answered()

    async def _sweep(self) -> None:
        """Drop connections that are slow or silent."""
        while True:
            await asyncio.sleep(1.0)
            now = self.now()
            for connection in [late for late in self.connections if late.deadline < now]:
                connection.drop()
