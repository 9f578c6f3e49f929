"""aiohttp's bare server, its own errors made ours: it would log and send back what it could not read, tokens included.

A new connection has to send its first request in time (slow loris).

Later requests of a connection are under aiohttp's own keep-alive limit; bodies are under `request_body`'s.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from auth_sidecar.answers import body

logger = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 10.0

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Malformed = Callable[[web.BaseRequest], web.StreamResponse]


class Connection(RequestHandler):
    """One connection; what is not HTTP is answered by `malformed`."""

    def __init__(self, server: "PromptServer", malformed: Malformed, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._malformed = malformed

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the answer to a request that could not be read or has failed; nothing of it is repeated anywhere."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status < 500:
            response = self._malformed(request)
        else:
            logger.error("a request failed", exc_info=exc)
            response = web.Response(
                status=status, headers={hdrs.CONTENT_TYPE: "application/json"}, body=body(500, None)
            )
        response.force_close()
        return response


class PromptServer(web.Server):
    """Hands requests to `handle`; connections that send none in time are dropped."""

    def __init__(
        self,
        handle: Handle,
        malformed: Malformed,
        *,
        first_request_seconds: float = FIRST_REQUEST_SECONDS,
        handler_cancellation: bool = False,
        **options: Any,
    ) -> None:
        """Take what answers requests, what answers everything else, and aiohttp's options for connections."""
        super().__init__(self._arrived, handler_cancellation=handler_cancellation)
        self._handle = handle
        self._malformed = malformed
        self._options = options
        self._seconds = first_request_seconds
        self._waiting: set[RequestHandler] = set()

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        connection = Connection(self, self._malformed, **self._options)
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
