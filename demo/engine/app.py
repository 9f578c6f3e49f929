"""The engine's statistics over HTTP (GET /workflows) and as the MCP resource lookout://workflows (on /mcp)."""

import json
from collections.abc import Iterable
from typing import Any

from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

from contract.web import release
from demo.engine.statistics import Statistics
from demo.hosts import security

HOSTS = ("127.0.0.1", "localhost", "[::1]", "engine")


def make_app(statistics: Statistics, more_hosts: Iterable[str] = ()) -> ASGIApp:
    """Return the application."""
    server: MCPServer[Any] = MCPServer(name="workflow-engine", title="Demo workflow engine", version=release())

    @server.resource("lookout://workflows", name="workflows", mime_type="application/json")
    def workflows() -> str:
        """Return the workflow statistics document, version 1."""
        return json.dumps(statistics.document())

    async def document(_request: Request) -> Response:
        return JSONResponse(statistics.document(), headers={"Cache-Control": "no-store"})

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("healthy\n")

    server.custom_route("/workflows", methods=["GET"])(document)
    server.custom_route("/-/healthy", methods=["GET"])(healthy)
    return server.streamable_http_app(json_response=True, transport_security=security([*HOSTS, *more_hosts]))
