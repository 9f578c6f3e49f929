"""The pack in VictoriaMetrics: vmalert replays every case of every policy, and alerts fire when Prometheus' do.

By default vmalert's own unit tests judge a part of the policies; all of them with LOOKOUT_VMALERT=all.
"""

import asyncio
import io
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import yaml

from rules import conventions, links, pack, render
from rules.policy import Case, Policy
from tests.alertmanager import replay
from tests.alertmanager.programs import running
from tests.tools import tool

PACK = pack.read(Path("rules/policies"))
LINKS = links.read(Path("rules/links.yaml"))
TESTS = Path("rules/generated/tests")
START = 472_222 * 3600.0
"""When every case begins: a full hour, as vmalert evaluates at multiples of the interval."""
HISTORY_SECONDS = 8 * 3600.0
"""Longer than any window of a policy that compares a counter with its past."""

# vmalert holds alerts for as long as keep_firing_for says, but its replay leaves that out: when that shows.
KEPT = {
    ("agent_flapping: keeps firing for ten minutes after the changes have left the window", 1575.0),
    ("fail_open_used: fires on the first bypass and resolves", 675.0),
    ("privilege_probing: fires at the sixth probe and resolves", 675.0),
    ("security_breach: fires at eleven failures in a minute, spread over reasons, and resolves", 285.0),
    ("service_restarting: fires at the third start and calms down after ten quiet minutes", 1560.0),
    ("sidecar_workers_dying: fires at the third death and calms down", 1575.0),
    ("slow_brute_force: keeps firing for five minutes after the window is clean", 1275.0),
}
# MetricsQL counts the first value of a series that is new to it as an increase or a change; Prometheus does not.
NEW_SERIES = {
    "agent_flapping: fires at the sixth change and calms down after ten quiet minutes",
    "agent_flapping: stays silent at five changes",
    "fail_open_used: stays silent about bypasses of long ago",
    "service_restarting: fires at the third start and calms down after ten quiet minutes",
    "service_restarting: stays silent at two, and about other programs",
    "workflow_last_runs_failed: fires when two runs of a rare workflow fail, and resolves when one completes",
    "workflow_stuck: fires after an hour without an end and resolves",
}
# What they say then differs as well; and MetricsQL interpolates this quantile otherwise: the text differs by a second.
SAID_OTHERWISE = {mark.partition(":")[0] for mark in NEW_SERIES} | {"workflow_step_slow"}
PART = 6
"""One in so many policies is judged by vmalert-tool by default, which takes half a second each."""


class Replayed(NamedTuple):
    """A case of a policy, and the label that keeps its series apart."""

    policy: Policy
    case: Case
    mark: str

    def rule(self) -> dict[str, Any]:
        """Return the policy's rule on the series of this case."""
        rule = render.alerting_rule(self.policy, LINKS)
        labels = {**rule["labels"], "replay": self.mark}
        return {**rule, "expr": replay.isolated(rule["expr"], self.mark), "labels": labels}

    def lines(self, history_seconds: float) -> Iterator[str]:
        """Yield the samples in Prometheus' text format; with a history, each series has long had its first value."""
        seen: set[str] = set()
        for series, at, value in replay.shifted(self.policy, self.case, self.mark, START):
            if series not in seen:
                seen.add(series)
                steps = range(int(history_seconds / self.case.interval), 0, -1)
                yield from (f"{series} {value!r} {(at - step * self.case.interval) * 1000:.0f}" for step in steps)
            yield f"{series} {value!r} {at * 1000:.0f}"

    def moments(self) -> dict[float, list[dict[str, str]]]:
        """Return which alerts fire at the moments that the case speaks of."""
        wanted = [alert.labels for alert in self.case.alerts]
        quiet = (*self.case.silent_at, *self.case.resolved_at)
        return {moment: [] for moment in quiet} | {moment: wanted for moment in self.case.fires_at}


CASES = [
    Replayed(policy, case, f"{policy.name}: {name}") for policy in PACK for name, case in policy.terms.tests.items()
]


class Fired(NamedTuple):
    """An alert with its labels, and when it was firing, in seconds after the start."""

    alert: str
    labels: dict[str, str]
    times: set[float]


def database(folder: Path) -> AbstractAsyncContextManager[str]:
    """Run VictoriaMetrics until the end of the block; yields its URL."""
    command: list[str | Path] = [
        tool("victoria-metrics"),
        f"-storageDataPath={folder / 'data'}",
        "-httpListenAddr=127.0.0.1:0",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
    ]
    return running(*command, cwd=folder)


async def load(url: str, lines: Iterable[str]) -> None:
    """Write samples in Prometheus' text format."""
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        await session.post("/api/v1/import/prometheus", data=io.BytesIO("\n".join(lines).encode()))
        await session.get("/internal/force_flush")


async def exported(url: str, match: str) -> list[Any]:
    """Return series with their labels, moments and values."""
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        answer = await session.get("/api/v1/export", params={"match[]": match})
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def replayed(cases: list[Replayed], folder: Path, history_seconds: float = 0) -> dict[str, list[Fired]]:
    """Return what fires, by case, when vmalert replays the rules over a VictoriaMetrics that holds the series."""
    groups = [
        {"name": each.mark, "interval": conventions.EVALUATION_INTERVAL, "rules": [each.rule()]} for each in cases
    ]
    async with database(folder) as url:
        await load(url, (line for each in cases for line in each.lines(history_seconds)))
        await run_vmalert(url, folder, groups, max(max(each.moments()) for each in cases))
        return by_case(await exported(url, 'ALERTS{alertstate="firing", replay!=""}'))


async def run_vmalert(url: str, folder: Path, groups: list[dict[str, Any]], seconds: float) -> None:
    """Replay rule groups of which none reads what another one writes."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    command: list[str | Path] = [
        tool("vmalert"),
        f"-rule={folder / 'rules.yaml'}",
        f"-datasource.url={url}",
        f"-remoteWrite.url={url}",
        f"-replay.timeFrom={datetime.fromtimestamp(START, UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"-replay.timeTo={datetime.fromtimestamp(START + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "-replay.maxDatapointsPerQuery=10000",
        "-replay.rulesDelay=0",
        "-replay.disableProgressBar",
        "-disableAlertgroupLabel",
        "-remoteWrite.flushInterval=100ms",
        "-remoteWrite.maxQueueSize=1000000",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        await session.get("/internal/force_flush")


def by_case(series: Iterable[Any]) -> dict[str, list[Fired]]:
    """Return alerts by case."""
    found: dict[str, list[Fired]] = {}
    for each in series:
        labels = {key: value for key, value in each["metric"].items() if key not in ("__name__", "alertstate")}
        times = {moment / 1000 - START for moment in each["timestamps"]}
        found.setdefault(labels.pop("replay"), []).append(Fired(labels.pop("alertname"), labels, times))
    return found


def differences(cases: list[Replayed], fired: dict[str, list[Fired]]) -> dict[tuple[str, float], str]:
    """Return what fired otherwise than the cases say, by case and moment."""
    found = {}
    for each in cases:
        mine = [alert for alert in fired.get(each.mark, ()) if alert.alert == each.policy.alert]
        for moment, wanted in each.moments().items():
            seen = [alert.labels for alert in mine if moment in alert.times]
            if sorted(seen, key=str) != sorted(wanted, key=str):
                found[each.mark, moment] = f"{seen} fired instead of {wanted}"
    return found


async def test_every_case_of_every_policy_ends_in_victoria_metrics_as_in_prometheus(tmp_path: Path) -> None:
    found = differences(CASES, await replayed(CASES, tmp_path))
    unexpected = {key: text for key, text in found.items() if key not in KEPT and key[0] not in NEW_SERIES}
    assert unexpected == {}
    assert set(found) >= KEPT
    assert {mark for mark, moment in found if (mark, moment) not in KEPT} == NEW_SERIES


async def test_series_that_victoria_metrics_has_long_known_are_judged_as_by_prometheus(tmp_path: Path) -> None:
    cases = [each for each in CASES if each.mark in NEW_SERIES]
    found = differences(cases, await replayed(cases, tmp_path, HISTORY_SECONDS))
    assert {key: text for key, text in found.items() if key not in KEPT} == {}


def test_vmalert_finds_every_label_and_text_and_keeps_alerts_firing_as_the_cases_say() -> None:
    files = [file for file in sorted(TESTS.glob("*.yaml")) if file.stem not in SAID_OTHERWISE]
    if os.environ.get("LOOKOUT_VMALERT") != "all":
        kept = [file for file in files if any(file.stem == mark.partition(":")[0] for mark, _ in KEPT)]
        files = sorted({*kept, *files[::PART]})
    command: list[str | Path] = [
        tool("vmalert-tool"),
        "unittest",
        "--disableAlertgroupLabel",
        *(f"--files={file}" for file in files),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SUCCESS") == len(files) > 10


async def test_an_alert_that_fires_otherwise_is_noticed(tmp_path: Path) -> None:
    cases = [each for each in CASES if each.policy.name == "agent_down"]
    fired = await replayed(cases, tmp_path)
    assert differences(cases, fired) == {}
    late = {mark: [alert._replace(times={max(alert.times)}) for alert in alerts] for mark, alerts in fired.items()}
    assert {mark for mark, _ in differences(cases, late)} == {each.mark for each in cases if each.case.fires_at}


async def test_burn_rates_and_budgets_are_recorded_in_victoria_metrics_as_in_prometheus(tmp_path: Path) -> None:
    # One probe in a hundred is bad: with 99.9 % promised, the budget burns ten times too fast.
    probes = {"ok": 98, "degraded": 1, "timeout": 1}
    lines = (
        f'mcp_agent_probes_total{{outcome="{outcome}"}} {each * minute} {(START + minute * 60) * 1000:.0f}'
        for outcome, each in probes.items()
        for minute in range(131)
    )
    groups = yaml.safe_load(Path("rules/generated/recording.yaml").read_text())["groups"]
    async with database(tmp_path) as url:
        await load(url, lines)
        for is_derived in (False, True):
            stage = [
                {**group, "rules": [rule for rule in group["rules"] if ("slo:" in rule["expr"]) == is_derived]}
                for group in groups
            ]
            await run_vmalert(url, tmp_path, [group for group in stage if group["rules"]], 130 * 60)
        recorded = await exported(url, '{__name__=~"slo:.+", __name__!~"slo:(good|all):.+"}')
    last = {each["metric"]["__name__"]: each["values"][-1] for each in recorded}
    assert {each["metric"]["slo"] for each in recorded} == {"agent_availability"}
    assert {name: round(value, 2) for name, value in last.items()} == {
        **{f"slo:burn_rate:ratio{window}": 10 for window in ("5m", "30m", "1h", "2h")},
        "slo:error_budget_left:ratio30d": 0.97,  # ten times 130 minutes of 30 days
    }
