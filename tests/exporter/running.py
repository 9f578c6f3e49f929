"""A whole exporter for a test: its configuration file, its HTTP side, and the world it watches."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import yaml
from prometheus_client import CollectorRegistry

from contract.instruments import Instruments
from contract.web import Reloader, Server, serve
from exporter import config_check
from exporter.app import make_app
from exporter.clients import open_session
from exporter.outcome import ProbeResult
from exporter.service import Exporter
from tests.exporter.servers import GOOD, Request, answering, http, rpc_result, serving
from tests.exporter.test_workflows import DOCUMENT


class World:
    """One small server that plays agents, engine, Prometheus and Alertmanager; tests change what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.broken: set[str] = set()
        """First parts of paths that answer 500."""
        self.alerts: list[dict[str, Any]] = []
        self.values: dict[str, str] = {}
        """Values of queries that contain the key; others are 0."""
        self.document: Any = DOCUMENT

    def __call__(self, request: Request) -> bytes:
        path = urlsplit(request.path).path
        name = path.split("/")[1]
        if name in self.broken:
            return http(500)
        if name == "workflows":
            return http(200, json.dumps(self.document))
        if path == "/api/v2/alerts":
            return http(200, json.dumps(self.alerts))
        if path == "/api/v1/query":
            return self._query(parse_qs(urlsplit(request.path).query)["query"][0])
        if request.body and request.rpc["method"] == "tools/list":
            return http(200, rpc_result({"tools": [{"name": "t"}]}))
        return GOOD

    def _query(self, query: str) -> bytes:
        value = next((value for part, value in self.values.items() if part in query), "0")
        data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]}]}
        return http(200, json.dumps({"status": "success", "data": data}))

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return a configuration that watches this world."""
        names = [("planner-1", "planner"), ("planner-2", "planner"), ("validator-1", "validator")]
        fast = {"interval": "300ms", "timeout": "300ms"}
        whole: dict[str, Any] = {
            "defaults": {"interval": "400ms", "timeout": "400ms"},
            "agents": [{"name": name, "type": kind, "url": f"{self.url}/{name}/mcp"} for name, kind in names],
            "workflow_sources": [{"name": "engine", "url": f"{self.url}/workflows", **fast}],
            "prometheus": {"url": self.url, "public_url": "http://localhost:9090", **fast},
            "alertmanager": {"url": self.url, **fast},
        }
        return whole | changes


def result_of(exporter: Exporter, name: str) -> ProbeResult:
    """Return an agent's latest result; it must have one."""
    result = exporter.fleet.agents[name].result
    assert result is not None
    return result


class Running:
    """A started exporter."""

    def __init__(self, exporter: Exporter, server: Server, file: Path, session: aiohttp.ClientSession) -> None:
        self.exporter = exporter
        self.url = server.url
        self.file = file
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[int, str, Mapping[str, str]]:
        """Return status, text and headers of a page; redirects are not followed."""
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as response:
            return response.status, await response.text(), response.headers

    async def text(self, path: str) -> str:
        """Return the text of a page that must be there."""
        status, text, _ = await self.get(path)
        assert status == 200, text
        return text

    async def health(self) -> dict[str, Any]:
        """Return /health."""
        found: dict[str, Any] = json.loads(await self.text("/health"))
        return found

    async def reload(self) -> tuple[int, str]:
        """Ask for a reload."""
        async with self.session.post(f"{self.url}/-/reload") as response:
            return response.status, await response.text()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Start a world."""
    made = World()
    async with serving(answering(made)) as url:
        made.url = url
        yield made


@asynccontextmanager
async def running(file: Path, config: dict[str, Any]) -> AsyncIterator[Running]:
    """Start an exporter on a configuration written to a file."""
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    instruments = Instruments(CollectorRegistry(), "exporter")
    reloader = Reloader(lambda: config_check.load(file), instruments)
    async with open_session() as session, aiohttp.ClientSession() as browser:
        exporter = Exporter(reloader.current, session, instruments)
        reloader.on_change(exporter.apply)
        await exporter.start()
        server = await serve(make_app(exporter, instruments, reloader))
        try:
            yield Running(exporter, server, file, browser)
        finally:
            await server.close()
            await exporter.close()
