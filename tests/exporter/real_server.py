"""A real MCP server on the official SDK, of whichever line this interpreter has: prints its URL when it listens.

Run as a program by the tests: `python real_server.py [--stateless] [--json]`. MCPServer is the 2.x line's, both eras;
FastMCP the 1.x line's, legacy only.
"""

import argparse
import asyncio
import contextlib
import importlib
import socket
from typing import Any

import uvicorn

STATISTICS = '{"version": 1, "workflows": [{"name": "nightly", "runs": {"completed": 7}}]}'


def make_server(stateless: bool, json_response: bool) -> tuple[Any, dict[str, bool]]:
    """Return a server of this SDK line and what its application wants to know."""
    options = {"stateless_http": stateless, "json_response": json_response}
    try:
        line = importlib.import_module("mcp.server.fastmcp")
    except ImportError:
        line = importlib.import_module("mcp.server")
        return line.MCPServer("real-server", version="4.2"), options
    return line.FastMCP("real-server", **options), {}


def fill(server: Any) -> None:
    """Give the server two tools and a resource."""

    @server.tool()  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()  # type: ignore[untyped-decorator]
    def fail() -> str:
        """Always fail."""
        raise RuntimeError("this tool always fails")

    @server.resource("workflow://statistics")  # type: ignore[untyped-decorator]
    def statistics() -> str:
        """Statistics of workflows."""
        return STATISTICS


class CountingSessions:
    """Wraps the application and answers GET /sessions with how many sessions were begun and ended."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sessions: set[bytes] = set()
        self.ended = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/sessions":
            body = f"{len(self.sessions)} {self.ended}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        if scope["type"] == "http" and scope["method"] == "DELETE":
            self.ended += 1
        await self.app(scope, receive, self.noting(send))

    def noting(self, send: Any) -> Any:
        """Wrap `send` so that answers which name a session are counted."""

        async def noted(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.sessions |= {value for name, value in message["headers"] if name == b"mcp-session-id"}
            await send(message)

        return noted


async def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stateless", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    server, arguments = make_server(options.stateless, options.json)
    fill(server)
    app = CountingSessions(server.streamable_http_app(**arguments))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        await running.serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main())
