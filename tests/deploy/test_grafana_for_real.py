"""Grafana as a native run starts it, with a `grafana` that is on the PATH: open to look at, closed to change."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from contract.ports import free_port
from dashboards.conventions import FOLDER
from deploy.native.layout import Layout
from deploy.native.services import Table
from tests.dashboards.reading import NAMES

if shutil.which("grafana") is None:
    pytest.skip("there is no `grafana` on the PATH", allow_module_level=True)

DEADLINE_SECONDS = 60.0


@pytest.fixture
async def grafana(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    environ = {**os.environ, "LOOKOUT_GRAFANA_PORT": str(free_port())}
    layout = Layout(tmp_path / "native")
    layout.write(environ)
    table = Table(layout, environ)
    service = next(each for each in table.services() if each.name == "grafana")
    log = (tmp_path / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *service.command, env={**environ, **service.environ}, stdout=log, stderr=log
    )
    try:
        async with aiohttp.ClientSession(table.url("grafana")) as session:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not await is_provisioned(session):
                    await asyncio.sleep(0.1)
            yield session
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def is_provisioned(session: aiohttp.ClientSession) -> bool:
    """Return whether it has read every dashboard; it is healthy a moment before."""
    try:
        async with session.get("/api/search", params={"type": "dash-db"}) as answer:
            return answer.ok and len(await answer.json()) == len(NAMES)
    except aiohttp.ClientConnectionError:
        return False


async def test_anybody_sees_every_dashboard_and_nobody_changes_one(grafana: aiohttp.ClientSession) -> None:
    async with grafana.get("/api/dashboards/home") as answer:
        assert (await answer.json())["dashboard"]["uid"] == "mcp-lookout-overview"
    for name in NAMES:
        async with grafana.get(f"/api/dashboards/uid/mcp-lookout-{name}") as answer:
            found = await answer.json()
        assert (found["meta"]["folderTitle"], found["meta"]["provisioned"]) == (FOLDER, True)
        # Who may explore may also try a change in the browser; nobody may keep one.
        assert found["meta"]["canSave"] is False
    change = {"dashboard": {**found["dashboard"], "title": "Mine"}, "overwrite": True}
    assert (await grafana.post("/api/dashboards/db", json=change)).status == 403


async def test_nobody_can_log_in_and_both_data_sources_are_there(grafana: aiohttp.ClientSession) -> None:
    tried = await grafana.post("/login", json={"user": "admin", "password": "admin"})
    assert tried.status in (401, 404)
    async with grafana.get("/api/frontend/settings") as answer:
        settings = await answer.json()
    found = {each["uid"]: each["type"] for each in settings["datasources"].values() if "uid" in each}
    assert {"prometheus": "prometheus", "alertmanager": "alertmanager"}.items() <= found.items()
    assert settings["disableLoginForm"] is True
