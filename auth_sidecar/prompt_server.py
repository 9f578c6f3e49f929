"""aiohttp's bare server, its own errors made ours: it would log and send back what it could not read, tokens included.

A head that has begun has to end in time, whether it is the first of its connection or a later one (slow loris); an idle
connection is closed. How long a body may take is `request_body`'s to say.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from auth_sidecar.answers import body

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""Longest time that the head of a request may take, and a new connection until its first."""
IDLE_SECONDS = 75.0
"""Longest time a connection may be silent between requests."""

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Malformed = Callable[[web.BaseRequest], web.StreamResponse]


class Connection(RequestHandler):
    """One connection; what is not HTTP is answered by `malformed`."""

    def __init__(self, server: "PromptServer", malformed: Malformed, head_seconds: float, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._malformed = malformed
        self._head_seconds = head_seconds
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes, and see whether a head has ended with them, or has begun."""
        before = self._request_count
        super().data_received(data)
        if self._request_count == before:
            if self._waiter is not None and self._head_deadline is None:
                self._expect_head()
            return
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._break_bodies()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Expect nothing more."""
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_deadline = asyncio.get_running_loop().call_later(self._head_seconds, self._drop)

    def _drop(self) -> None:
        """Drop the connection, unless a request that came before is still being answered."""
        self._head_deadline = None
        if self._current_request is None and self.transport is not None:
            self.transport.abort()

    def _break_bodies(self) -> None:
        """Fail bodies under way when what follows is not HTTP: nothing more of them will come."""
        bodies = [content for _, content in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for content in bodies:
            if not content.is_eof():
                content.set_exception(web.RequestPayloadError("not HTTP"))
                content.feed_eof()

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
        head_seconds: float = HEAD_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        handler_cancellation: bool = False,
        **options: Any,
    ) -> None:
        """Take what answers requests, what answers everything else, and aiohttp's options for connections."""
        super().__init__(handle, handler_cancellation=handler_cancellation)
        self._malformed = malformed
        self._options = {"head_seconds": head_seconds, "keepalive_timeout": idle_seconds, **options}

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return Connection(self, self._malformed, **self._options)
