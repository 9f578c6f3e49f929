"""aiohttp's bare server with a limit on how long a new connection may take to send its first request (slow loris).

Later requests of a connection are under aiohttp's own keep-alive limit; bodies are under `request_body`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

FIRST_REQUEST_SECONDS = 10.0

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class PromptServer(web.Server):
    """Hands requests to `handle`; connections that send none in time are dropped."""

    def __init__(self, handle: Handle, *, first_request_seconds: float = FIRST_REQUEST_SECONDS, **options: Any) -> None:
        """Take aiohttp's options for connections besides."""
        super().__init__(self._arrived, **options)
        self._handle = handle
        self._seconds = first_request_seconds
        self._waiting: set[RequestHandler] = set()

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        connection = super().__call__()
        self._waiting.add(connection)
        asyncio.get_running_loop().call_later(self._seconds, self._check, connection)
        return connection

    async def _arrived(self, request: web.BaseRequest) -> web.StreamResponse:
        self._waiting.discard(request.protocol)
        return await self._handle(request)

    def _check(self, connection: RequestHandler) -> None:
        if connection in self._waiting:
            self._waiting.discard(connection)
            if connection.transport is not None:
                connection.transport.abort()
