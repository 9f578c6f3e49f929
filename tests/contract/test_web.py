"""The shared HTTP side: metrics, health, reload, and an end that leaves nothing open."""

import asyncio
import gzip
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from contract.config import ConfigError, Model, load
from contract.instruments import Instruments
from contract.web import Reloader, Server, on_hangup, serve, setup_admin


class Settings(Model):
    limit: int = 1


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("limit: 1\n")
    return path


@pytest.fixture
def reloader(registry: CollectorRegistry, file: Path) -> Reloader[Settings]:
    return Reloader(lambda: load(file, Settings), Instruments(registry, "exporter"))


@pytest.fixture
async def server(registry: CollectorRegistry, reloader: Reloader[Settings]) -> AsyncIterator[Server]:
    app = web.Application()
    instruments = Instruments(CollectorRegistry(), "exporter")
    setup_admin(
        app,
        registry=registry,
        instruments=instruments,
        is_ready=lambda: reloader.current.limit < 9,
        reloader=reloader,
        extra_metrics=lambda: b"# more\n" * 1000,
    )
    server = await serve(app)
    yield server
    await server.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def state(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("mcp_config_last_reload_successful", {"service": "exporter"})


async def test_a_server_knows_its_url_and_listens_no_more_when_closed(client: aiohttp.ClientSession) -> None:
    server = await serve(web.Application())
    assert server.url == f"http://127.0.0.1:{server.port}"
    await server.close()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(server.url)


async def test_a_taken_port_is_an_error_at_once(server: Server) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await serve(web.Application(), port=server.port)


async def test_metrics_carry_the_content_type_that_prometheus_3_wants(
    server: Server, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{server.url}/metrics", headers={"Accept-Encoding": "identity"}) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert b"mcp_config_last_reload_successful" in await response.read()


async def test_large_metrics_are_compressed_when_asked(server: Server, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{server.url}/metrics", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()).endswith(b"# more\n")


async def test_ready_and_healthy_are_different_questions(
    server: Server, client: aiohttp.ClientSession, file: Path, reloader: Reloader[Settings]
) -> None:
    file.write_text("limit: 9\n")
    await reloader.reload()
    async with client.get(f"{server.url}/-/healthy") as healthy, client.get(f"{server.url}/-/ready") as ready:
        assert (healthy.status, ready.status) == (200, 503)


async def test_a_good_file_is_put_into_force(server: Server, client: aiohttp.ClientSession, file: Path) -> None:
    file.write_text("limit: 2\n")
    async with client.post(f"{server.url}/-/reload") as response:
        assert response.status == 200


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
async def test_a_page_in_a_browser_cannot_reload(
    server: Server, client: aiohttp.ClientSession, file: Path, reloader: Reloader[Settings], header: str
) -> None:
    file.write_text("limit: 2\n")
    headers = {header: {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}[header]}
    async with client.post(f"{server.url}/-/reload", headers=headers) as response:
        assert response.status == 403
    assert reloader.current.limit == 1


async def test_a_bad_file_keeps_the_running_configuration_and_shows(
    server: Server,
    client: aiohttp.ClientSession,
    file: Path,
    reloader: Reloader[Settings],
    registry: CollectorRegistry,
) -> None:
    file.write_text("limti: 2\n")
    async with client.post(f"{server.url}/-/reload") as response:
        assert response.status == 500
        assert "limti: unknown key (did you mean limit?)" in await response.text()
    assert reloader.current.limit == 1
    assert state(registry) == 0
    file.write_text("limit: 3\n")
    assert await reloader.reload() == ()
    assert (reloader.current.limit, state(registry)) == (3, 1)


async def test_a_configuration_that_cannot_be_applied_is_not_taken(
    reloader: Reloader[Settings], file: Path, registry: CollectorRegistry
) -> None:
    async def refuse(_settings: Settings) -> None:
        raise OSError("address already in use")

    reloader.on_change(refuse)
    file.write_text("limit: 2\n")
    (problem,) = await reloader.reload()
    assert "address already in use" in problem.message
    assert (reloader.current.limit, state(registry)) == (1, 0)


def test_a_bad_file_at_the_start_is_an_error(registry: CollectorRegistry, file: Path) -> None:
    file.write_text("- 1\n")
    with pytest.raises(ConfigError):
        Reloader(lambda: load(file, Settings), Instruments(registry, "exporter"))


async def test_a_hangup_signal_reloads(reloader: Reloader[Settings], file: Path) -> None:
    on_hangup(reloader.reload)
    file.write_text("limit: 5\n")
    os.kill(os.getpid(), signal.SIGHUP)
    async with asyncio.timeout(5):
        while reloader.current.limit != 5:
            await asyncio.sleep(0.01)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
