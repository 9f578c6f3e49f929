"""Grafana as a native run starts it, with a `grafana` that is on the PATH: open to look at, closed to change.

It reads what is provisioned without a complaint, and understands every query of every dashboard.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from contract.ports import free_port
from dashboards.conventions import FOLDER
from deploy.native.layout import Layout
from deploy.native.services import Table
from tests.alertmanager.programs import running
from tests.dashboards.reading import NAMES, Json, panels
from tests.tools import tool

if shutil.which("grafana") is None:
    pytest.skip("there is no `grafana` on the PATH", allow_module_level=True)

DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Grafana:
    """A started Grafana, and what it has said so far."""

    session: aiohttp.ClientSession
    log: Path
    prometheus: str
    """The address where it looks for Prometheus."""

    async def get(self, path: str) -> Json:
        async with self.session.get(path) as answer:
            found: Json = await answer.json()
        return found

    async def errors_of(self, panel: Json) -> list[str]:
        """Return what Grafana or Prometheus says against the queries of a panel, with every filter set to All."""
        queries = [
            {**target, "expr": re.sub(r"\$(?!__)[a-z_]+\b", ".*", target["expr"]), "datasource": {"uid": "prometheus"}}
            for target in panel["targets"]
        ]
        asked = {"queries": queries, "from": "now-30m", "to": "now"}
        async with self.session.post("/api/ds/query", json=asked) as answer:
            found = await answer.json()
        results = found.get("results", {})
        assert len(results) == len(queries), found
        return [each["error"] for each in results.values() if "error" in each]


@pytest.fixture
async def grafana(tmp_path: Path) -> AsyncIterator[Grafana]:
    ports = {f"LOOKOUT_{name}_PORT": str(free_port()) for name in ("GRAFANA", "PROMETHEUS")}
    environ = {**os.environ, **ports}
    layout = Layout(tmp_path / "native")
    layout.write(environ)
    table = Table(layout, environ)
    service = next(each for each in table.services() if each.name == "grafana")
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *service.command, env={**environ, **service.environ}, stdout=written, stderr=written
        )
    try:
        async with aiohttp.ClientSession(table.url("grafana")) as session:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not await is_provisioned(session):
                    await asyncio.sleep(0.1)
            yield Grafana(session, log, table.url("prometheus").removeprefix("http://"))
    finally:
        process.terminate()
        await process.wait()


async def is_provisioned(session: aiohttp.ClientSession) -> bool:
    """Return whether it has read every dashboard; it is healthy a moment before."""
    try:
        async with session.get("/api/search", params={"type": "dash-db"}) as answer:
            return answer.ok and len(await answer.json()) == len(NAMES)
    except aiohttp.ClientConnectionError:
        return False


async def test_anybody_sees_every_dashboard_and_nobody_changes_one(grafana: Grafana) -> None:
    assert (await grafana.get("/api/dashboards/home"))["dashboard"]["uid"] == "mcp-lookout-overview"
    for name in NAMES:
        found = await grafana.get(f"/api/dashboards/uid/mcp-lookout-{name}")
        assert (found["meta"]["folderTitle"], found["meta"]["provisioned"]) == (FOLDER, True)
        # Who may explore may also try a change in the browser; nobody may keep one.
        assert found["meta"]["canSave"] is False
    change = {"dashboard": {**found["dashboard"], "title": "Mine"}, "overwrite": True}
    assert (await grafana.session.post("/api/dashboards/db", json=change)).status == 403


async def test_nobody_can_log_in_and_both_data_sources_are_there(grafana: Grafana) -> None:
    tried = await grafana.session.post("/login", json={"user": "admin", "password": "admin"})
    assert tried.status in (400, 401, 404)  # of 12.3, 9.5 and others
    settings = await grafana.get("/api/frontend/settings")
    found = {each["uid"]: each["type"] for each in settings["datasources"].values() if "uid" in each}
    assert {"prometheus": "prometheus", "alertmanager": "alertmanager"}.items() <= found.items()
    assert settings["disableLoginForm"] is True


async def test_it_reads_what_is_provisioned_without_an_error_and_asks_nobody_outside(grafana: Grafana) -> None:
    lines = grafana.log.read_text(encoding="utf-8").splitlines()

    assert any("finished to provision dashboards" in line for line in lines)
    assert [line for line in lines if "level=error" in line] == []
    async with grafana.session.get("/") as page:
        assert "connect-src 'self'" in page.headers["Content-Security-Policy"]


async def test_every_query_of_every_dashboard_is_answered_without_an_error(grafana: Grafana, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text("{}")
    command = (
        tool("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address={grafana.prometheus}",
    )
    async with running(*command, cwd=tmp_path) as url, asyncio.timeout(DEADLINE_SECONDS):
        while not (await grafana.session.get(f"{url}/-/ready")).ok:
            await asyncio.sleep(0.1)
        for board, panel in ((name, each) for name in NAMES for each in panels(name)):
            assert await grafana.errors_of(panel) == [], (board, panel["title"])
        panel["targets"][0]["expr"] += ")"
        assert "parse error" in str(await grafana.errors_of(panel))
