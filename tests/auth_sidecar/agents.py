"""MCP servers behind the sidecar in tests: one on the official SDK, and one that says what it was sent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import web
from mcp.server.mcpserver import MCPServer

from contract.web import Server, serve


def agent() -> MCPServer:
    """Return a server of the official SDK with tools of different permissions."""
    server = MCPServer("documents")

    @server.tool()
    def search_knowledge(query: str) -> str:
        """Search."""
        return f"found {query}"

    @server.tool()
    def create_plan(goal: str) -> str:
        """Plan."""
        return f"plan for {goal}"

    @server.tool()
    def broken() -> str:
        """Fail."""
        raise ValueError("broken on purpose")

    @server.tool()
    def delete_everything() -> str:
        """Nobody may."""
        return "gone"

    return server


@asynccontextmanager
async def sdk_server(server: MCPServer | None = None) -> AsyncIterator[str]:
    """Run an SDK server on a free port and yield its endpoint."""
    app = (server or agent()).streamable_http_app()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        runner = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(runner.serve(sockets=[listener]))
        while not runner.started:
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            runner.should_exit = True
            await serving


class Echo:
    """Answers each request with what it was sent; `seen` holds the requests, `answer` may be replaced."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.server: Server | None = None
        self.open_streams = 0
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.echo

    @property
    def url(self) -> str:
        assert self.server
        return f"{self.server.url}/mcp"

    async def start(self) -> "Echo":
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = await serve(app, handler_cancellation=True, drain_seconds=0.1)
        return self

    async def stop(self) -> None:
        if self.server:
            await self.server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            {
                "method": request.method,
                "path": request.raw_path,
                "headers": request.headers.copy(),
                "body": body,
            }
        )
        return await self.answer(request)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        message = await request.json() if body else {}
        return web.json_response({"jsonrpc": "2.0", "id": message.get("id"), "result": {}})
