"""The desk and the real Alertmanager: what a time interval mutes, and a cluster of which a member fails."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
import yaml

from incident_desk.alertmanager_api import Alertmanagers
from incident_desk.alerts import MalformedError, muted
from incident_desk.config import Alertmanager
from tests.alertmanager import programs
from tests.incident_desk.made import (
    QUARTER,
    TOKEN,
    World,
    alert,
    alertmanager_of,
    notification,
    post,
    running,
    until,
)
from tests.tools import tool

ALWAYS = {"name": "window", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]}
NIGHT = {"name": "window", "time_intervals": [{"years": ["1999"]}]}


def configured(folder: Path, desk_url: str, window: dict[str, Any]) -> Path:
    """Write Alertmanager's file: its only route leads to the desk and keeps the window."""
    webhook = {"url": f"{desk_url}/alerts", "http_config": {"authorization": {"credentials": TOKEN}}}
    pace = {"group_wait": "100ms", "group_interval": "200ms", "repeat_interval": "1h", "group_by": ["alertname"]}
    route = {"receiver": "incident-desk", "matchers": ['alertname!="EscalationDue"'], "mute_time_intervals": ["window"]}
    config = {
        "route": {"receiver": "nobody", **pace, "routes": [route]},
        "receivers": [{"name": "nobody"}, {"name": "incident-desk", "webhook_configs": [webhook]}],
        "time_intervals": [window],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    return folder / "alertmanager.yml"


@asynccontextmanager
async def alertmanager(
    folder: Path, desk_url: str, window: dict[str, Any], release: Literal["old", "new"] = "new"
) -> AsyncIterator[str]:
    """Run the real one."""
    file = configured(folder, desk_url, window)
    command = [f"--config.file={file}", f"--storage.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"]
    command.append("--cluster.listen-address=")
    async with programs.running(tool("alertmanager", release), *command, cwd=folder) as url:
        yield url


async def fire(url: str) -> None:
    """Let an alert fire."""
    now = datetime.now(UTC)
    labels = {"alertname": "AgentDown", "severity": "critical", "escalation": "immediate"}
    sent = {"labels": labels, "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=9)).isoformat()}
    await post(f"{url}/api/v2/alerts", [sent])


async def stages_held(url: str) -> list[str]:
    query = {"filter": 'alertname="EscalationDue"'}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts", params=query) as answer:
        return [each["labels"]["stage"] for each in await answer.json()]


async def test_a_time_interval_that_mutes_an_alert_ends_its_escalation_and_then_the_time_counts_anew(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, World(now=time.time())) as desk, alertmanager(tmp_path, desk.url, NIGHT) as url:
        for name, old, new in (("desk.yaml", desk.world.url, url), ("escalation.yaml", "15m", "100ms")):
            (tmp_path / name).write_text((tmp_path / name).read_text().replace(old, new))
        await post(f"{desk.url}/-/reload")
        await fire(url)
        await until(desk, desk.desk.store.escalated)
        assert await stages_held(url) == ["lead"]
        configured(tmp_path, desk.url, ALWAYS)
        await post(f"{url}/-/reload")
        await until(desk, lambda: desk.desk.store.open()[0].is_suppressed)
        assert await stages_held(url) == []
        configured(tmp_path, desk.url, NIGHT)
        await post(f"{url}/-/reload")
        await until(desk, lambda: not desk.desk.store.open()[0].is_suppressed)
        [incident] = desk.desk.store.open()
        assert [each.stage for each in incident.stages] == ["lead"]
        assert incident.clock > incident.stages[0].at, "the time counts anew"
        await until(desk, lambda: len(desk.desk.store.open()[0].stages) == 2)
        assert await stages_held(url) == ["lead"]


async def test_a_desk_that_starts_during_a_window_takes_nothing_over(tmp_path: Path) -> None:
    async with alertmanager(tmp_path, "http://127.0.0.1:1", ALWAYS) as url:
        await fire(url)
        async with running(tmp_path, World(now=time.time()), alertmanager={"urls": url}) as desk:
            config, asking = desk.desk.settings.desk.alertmanager, Alertmanagers(desk.session)
            while not (await asking.read(config)).alerts[0].is_suppressed:
                assert time.time() < desk.world.now + 20
            await desk.after(3600)
            assert desk.desk.store.newest(1) == []


async def test_an_old_alertmanager_answers_and_says_of_nothing_that_it_is_muted(tmp_path: Path) -> None:
    async with alertmanager(tmp_path, "http://127.0.0.1:1", ALWAYS, "old") as url, aiohttp.ClientSession() as session:
        await fire(url)
        read = await Alertmanagers(session).read(Alertmanager(urls=(url,)))
        assert [(each.labels["alertname"], each.is_suppressed) for each in read.alerts] == [("AgentDown", False)]


def test_an_alert_is_muted_when_all_its_groups_are() -> None:
    group = '{"alerts":[{"fingerprint":"%s","status":{"mutedBy":%s}}]}'
    groups = ",".join(
        group % each for each in (("a", '["w"]'), ("a", "[]"), ("b", '["w"]'), ("c", "[]"), ("d", "null"))
    )
    assert muted(f"[{groups}]".encode()) == {"b"}
    for wrong in (b"{}x", b"7", b"[7]", b'[{"alerts":7}]', b'[{"alerts":[{"status":7}]}]', b'{"a":1}'):
        with pytest.raises(MalformedError):
            muted(wrong)


async def test_of_a_cluster_each_member_is_told_and_one_that_answers_is_asked(tmp_path: Path) -> None:
    first, second = World(), World()
    other = await alertmanager_of(second)
    mine = await alertmanager_of(first)
    try:
        async with running(tmp_path, alertmanager={"urls": [f"{first.url}/", second.url]}) as desk:
            for world in (first, second):
                world.held["f1"] = "active"
            assert await desk.send(notification(alert())) == 200
            first.is_down = True
            await desk.after(QUARTER)
            assert (first.posted, len(second.posted), desk.desk.problem) == ([], 1, "")
            first.is_down = False
            await desk.after(1)
            assert [len(world.posted) for world in (first, second)] == [1, 2]
            second.is_down = True
            await desk.after(120)
            assert desk.desk.problem == ""
            assert desk.desk.store.open()
            first.is_down = True
            await desk.after(120)
            for world in (first, second):
                assert f"{world.url}/api/v2/alerts" in desk.desk.problem
    finally:
        await mine.close()
        await other.close()
