"""Every query of every dashboard, answered by a real Prometheus that scrapes a healthy and a broken system."""

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from dashboards.__main__ import OBJECTIVES, POLICIES, boards
from dashboards.limits import Limits
from dashboards.panels import Empty
from deploy.native.packages import Release
from rules import pack, slos
from tests.alertmanager.programs import running
from tests.dashboards.reading import NAMES, Target, board, filled, targets
from tests.dashboards.synthetic import system
from tests.tools import tool

SCRAPES = 6
DEADLINE_SECONDS = 60.0
DURATIONS = {"__rate_interval": "15s", "__range": "1m", "__interval": "1s"}
WATCHDOG = {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "info", "component": "lookout"}}
FIRING = [
    {"alert": "AgentDown", "expr": "mcp_agent_up == 0", "labels": {"severity": "critical", "component": "agents"}},
    {"alert": "Blip", "expr": 'count_over_time(up{job="exporter"}[1m]) < 4', "labels": {"severity": "critical"}},
    {"alert": "SecurityBreach", "expr": "vector(11)", "labels": {"severity": "critical", "component": "security"}},
    {"alert": "Exhausted", "expr": "vector(1)", "labels": {"severity": "major", "instance": "host", "resource": "CPU"}},
]


@dataclass
class Prometheus:
    """A started Prometheus."""

    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **parameters: str | float) -> list[Any]:
        """Return what the API answers; a query that it does not understand fails the test."""
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{answer['error']}: {parameters}"
        data = answer["data"]
        found: list[Any] = data if isinstance(data, list) else data["result"]
        return found

    async def is_ready(self) -> bool:
        """Return whether it answers queries yet."""
        async with self.session.get(f"{self.url}/-/ready") as response:
            return response.ok

    async def until_scraped(self, *, has_heartbeat: bool) -> None:
        """Wait until every target was scraped often enough for rates, and the Watchdog fires if there is one."""
        asked = f"min(count_over_time(up[1m])) >= {SCRAPES}"
        asked += ' and on () ALERTS{alertname="Watchdog"}' if has_heartbeat else ""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (await self.is_ready() and await self.get("query", query=asked)):
                await asyncio.sleep(0.2)

    async def answer(self, target: Target) -> list[Any]:
        """Return the series with values that Grafana would draw."""
        expr, now = filled(target.target["expr"], DURATIONS), time.time()
        if target.target.get("instant"):
            found = await self.get("query", query=expr, time=now)
            return [each for each in found if not math.isnan(float(each["value"][1]))]
        found = await self.get("query_range", query=expr, start=now - 5, end=now, step=1)
        return [each for each in found if any(not math.isnan(float(value)) for _, value in each["values"])]


def rule_groups(*, is_broken: bool, has_heartbeat: bool) -> list[dict[str, Any]]:
    """Return the recording rules, evaluated every second, and alerts that fire at once."""
    recording = slos.groups(slos.read(OBJECTIVES))
    alerts = {"name": "alerts", "rules": [WATCHDOG] * has_heartbeat + (FIRING if is_broken else [])}
    return [{**group, "interval": "1s"} for group in (*recording, alerts) if group["rules"]]


@asynccontextmanager
async def prometheus(
    release: Release, folder: Path, *, is_broken: bool, has_heartbeat: bool = True
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes a synthetic system and itself."""
    async with system(is_broken=is_broken) as address, aiohttp.ClientSession() as session:
        own = folder / "own.json"
        jobs: list[Any] = [
            {"job_name": name, "static_configs": [{"targets": [address]}]} for name in ("exporter", "incident-desk")
        ]
        jobs.append({"job_name": "prometheus", "file_sd_configs": [{"files": [str(own)], "refresh_interval": "1s"}]})
        groups = rule_groups(is_broken=is_broken, has_heartbeat=has_heartbeat)
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = (
            tool("prometheus", release),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
        )
        async with running(*command, "--web.listen-address=127.0.0.1:0", cwd=folder) as url:
            own.write_text(json.dumps([{"targets": [url.removeprefix("http://")]}]))
            started = Prometheus(url, session)
            await started.until_scraped(has_heartbeat=has_heartbeat)
            yield started


def empty_when_healthy() -> set[tuple[str, str]]:
    """Return the panels that are marked so, by dashboard."""
    made = boards(Limits(pack.read(POLICIES)), slos.read(OBJECTIVES))
    return {
        (board.name, panel.about.title)
        for board in made
        for row in board.rows
        for panel in row.panels
        if panel.about.may_be_empty is Empty.WHEN_HEALTHY
    }


async def empty_panels(asked: Prometheus) -> set[tuple[str, str]]:
    """Return the panels for which no query has an answer."""
    seen = {(name, target.panel["title"]) for name in NAMES for target in targets(name) if await asked.answer(target)}
    return {(name, target.panel["title"]) for name in NAMES for target in targets(name)} - seen


async def test_in_a_healthy_system_exactly_the_panels_marked_so_are_empty(tmp_path: Path) -> None:
    async with prometheus("new", tmp_path, is_broken=False) as started:
        assert await empty_panels(started) == empty_when_healthy()


@pytest.mark.parametrize("release", ["new", "old"])
async def test_in_a_broken_system_every_panel_shows_data(tmp_path: Path, release: Release) -> None:
    async with prometheus(release, tmp_path, is_broken=True) as started:
        assert await empty_panels(started) == set()
        await check_legends(started)
        await check_variables(started)
        await check_annotations(started)
        await check_counts(started)


async def test_where_no_rules_are_evaluated_no_panel_says_that_nothing_fires(tmp_path: Path) -> None:
    async with prometheus("new", tmp_path, is_broken=False, has_heartbeat=False) as started:
        [line] = await started.answer(target_of("overview", "What fires, since when, and who is told"))
        assert (line["metric"]["alertname"], line["metric"]["told"]) == ("Rules are not evaluated", "nobody")
        for board_name, title in (("overview", "Alerts that fire"), ("secops", "Security alerts")):
            assert await started.answer(target_of(board_name, title)) == []


async def check_legends(asked: Prometheus) -> None:
    """Every label of a legend is on some series of its query."""
    for target in (target for name in NAMES for target in targets(name)):
        wanted = set(re.findall(r"{{(\w+)}}", target.target["legendFormat"]))
        there = {label for series in await asked.answer(target) for label in series["metric"]}
        assert wanted <= there, target.where


async def check_variables(asked: Prometheus) -> None:
    """Every variable has values to choose from."""
    for name in NAMES:
        for variable in board(name)["templating"]["list"][1:]:
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found
            assert await asked.get(f"label/{found[2]}/values", **{"match[]": filled(found[1])}), variable["name"]


def target_of(name: str, title: str) -> Target:
    """Return the only query of a panel."""
    [target] = [each for each in targets(name) if each.panel["title"] == title]
    return target


async def check_counts(asked: Prometheus) -> None:
    """A count is the number of lines in the table beside it."""
    [count] = await asked.answer(target_of("overview", "Alerts that fire"))
    lines = await asked.answer(target_of("overview", "What fires, since when, and who is told"))
    assert int(count["value"][1]) == len(lines) > 1
    assert {line["metric"].get("subject") for line in lines} >= {"validator-1", "security", "host CPU"}
    narrowed = {line["metric"].get("subject"): line["metric"] for line in lines}
    assert (narrowed["validator-1"]["only_agent"], narrowed["security"]["only_agent"]) == ("validator-1", "all")
    [security] = await asked.answer(target_of("secops", "Security alerts"))
    assert int(security["value"][1]) == sum(line["metric"]["alertname"] == "SecurityBreach" for line in lines)


async def check_annotations(asked: Prometheus) -> None:
    """Every annotation has something to mark, and marks a moment: two samples in a row would be drawn as a region."""
    now = time.time()
    for annotation in board("overview")["annotations"]["list"]:
        expr = filled(annotation["expr"], DURATIONS)
        found = await asked.get("query_range", query=expr, start=now - DEADLINE_SECONDS, end=now, step=1)
        assert found, annotation["name"]
        for series in found:
            times = [when for when, _ in series["values"]]
            assert all(later - earlier > 1 for earlier, later in pairwise(times)), annotation["name"]
