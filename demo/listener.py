"""An ASGI application on a port, opened and closed at will, several in one event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections, so that none is closed just when it is used again."""

DRAIN_SECONDS = 1


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it is part of, and wakes once a second instead of ten times."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self.leaves = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leaves.wait(), timeout=1)

    def leave(self) -> None:
        self.should_exit = True
        self.leaves.set()


class Listener:
    """Serves an application; the port stays the same when it is opened again."""

    def __init__(self, make_app: Callable[[], ASGIApp], host: str = "127.0.0.1", port: int = 0) -> None:
        """`make_app` is called at every opening: MCP applications can be started only once."""
        self._make_app = make_app
        self.host = host
        self.port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens; the port is known once it was open."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def open(self) -> None:
        """Start to listen; harmless when it does. Raises OSError when the address cannot be bound."""
        if self._server:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.create_server((self.host, self.port), family=family, backlog=1024)
        self.port = bound.getsockname()[1]
        config = uvicorn.Config(
            self._make_app(),
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        is_up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait({is_up, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        is_up.cancel()
        if self._serving.done():
            self._server = None
            await self._serving

    async def close(self) -> None:
        """Stop to listen and close every connection; harmless when closed."""
        server, self._server = self._server, None
        if server and self._serving:
            server.leave()
            await self._serving
