"""A real MCP server on the official SDK, of whichever line this interpreter has: prints its URL when it listens.

Run as a program by the tests: `python real_server.py [--stateless] [--json]`. MCPServer is the 2.x line's, both eras;
FastMCP the 1.x line's, legacy only.
"""

import argparse
import asyncio
import contextlib
import socket
import sys

import uvicorn

STATISTICS = '{"version": 1, "workflows": [{"name": "nightly", "runs": {"completed": 7}}]}'


def make_server(stateless, json_response):
    try:
        from mcp.server import MCPServer as Server
    except ImportError:
        from mcp.server.fastmcp import FastMCP

        return FastMCP("real-server", stateless_http=stateless, json_response=json_response), {}
    return Server("real-server", version="4.2"), {"stateless_http": stateless, "json_response": json_response}


def fill(server):
    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def fail() -> str:
        """Always fail."""
        raise RuntimeError("this tool always fails")

    @server.resource("workflow://statistics")
    def statistics() -> str:
        """Statistics of workflows."""
        return STATISTICS


class CountingSessions:
    """Wraps the application and answers GET /sessions with how many sessions were begun and ended."""

    def __init__(self, app):
        self.app = app
        self.begun = self.ended = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/sessions":
            body = f"{self.begun} {self.ended}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        if scope["type"] == "http" and scope["method"] == "DELETE":
            self.ended += 1
        await self.app(scope, receive, self.noting(send))

    def noting(self, send):
        async def noted(message):
            headers = dict(message.get("headers", []))
            if message["type"] == "http.response.start" and b"mcp-session-id" in headers and message["status"] == 200:
                self.begun += b"text/event-stream" in headers.get(b"content-type", b"") or b"json" in headers.get(
                    b"content-type", b""
                )
            await send(message)

        return noted


async def main():
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
    sys.exit(asyncio.run(main()))
