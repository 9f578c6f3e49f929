"""What several tests of the exporter start from."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from contract.instruments import Instruments
from exporter.clients import open_session
from exporter.exchange import HttpClient
from exporter.outcome import ProbeResult
from exporter.probes import make
from exporter.targets import Target
from tests.exporter.servers import real_server
from tests.tools import legacy_python


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
def instruments() -> Instruments:
    return Instruments(CollectorRegistry(), "exporter")


@pytest.fixture(scope="session")
def modern_url() -> Iterator[str]:
    with real_server() as url:
        yield url


@pytest.fixture(scope="session")
def legacy_url() -> Iterator[str]:
    with real_server(legacy_python()) as url:
        yield url


@pytest.fixture(scope="session")
def stateless_url() -> Iterator[str]:
    with real_server(legacy_python(), "--stateless", "--json") as url:
        yield url


def target(url: str = "http://127.0.0.1:1/mcp", **settings: Any) -> Target:
    """Return a target with settings fit for tests."""
    values: dict[str, Any] = {
        "name": "planner-1",
        "agent_type": "planner",
        "url": url,
        "probe": "mcp",
        "interval": 15.0,
        "timeout": 5.0,
        "tools_interval": 300.0,
        "credentials": None,
        "ca_file": None,
        "check_tool": None,
    }
    return Target(**(values | settings))


Look = Callable[..., Any]


@pytest.fixture
def look(session: aiohttp.ClientSession) -> Look:
    """Probe a URL once, with a fresh probe."""

    async def probe(url: str, **settings: Any) -> ProbeResult:
        chosen = target(url, **settings)
        return await make(chosen)(HttpClient(session, url), chosen.timeout)

    return probe


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file into the test's folder and return its path."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written
