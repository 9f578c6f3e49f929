"""Business hours and maintenance windows: accepted by amtool of both ends, kept by the real Alertmanager."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager.__main__ import main
from alertmanager.desk_routing import DESK
from contract.vocabulary import Severity
from tests.alertmanager.test_messages import Release, agent_down, both_releases, send, stack
from tests.alertmanager.test_receivers import GOOD, problems
from tests.tools import tool

ALWAYS = 'intervals:\n  window:\n    - times: ["00:00-24:00"]\n'
HOURS = 'intervals:\n  window:\n    - {times: ["09:00-18:00"], weekdays: ["monday:friday"], location: Europe/Berlin}\n'


def generated(folder: Path, text: str) -> Path:
    file = folder / "receivers.yaml"
    file.write_text(text)
    assert main(["--receivers", str(file), "--out", str(folder / "out")]) == 0
    return folder / "out" / "alertmanager.yml"


def channel(key: str) -> str:
    return GOOD.replace("  slack:\n    slack:\n", f"  slack:\n    {key}: [window]\n    slack:\n")


def severities(config: Path) -> dict[str, Any]:
    routes = yaml.safe_load(config.read_text())["route"]["routes"]
    [slack] = [route for route in routes if route["receiver"] == "slack" and "continue" in route]
    paces = [pace for route in slack["routes"] for pace in route.get("routes", [route])]
    return {f"{number}: {pace['matchers'][0]}": pace for number, pace in enumerate(paces)}


@both_releases
def test_amtool_accepts_intervals(tmp_path: Path, release: Release) -> None:
    config = generated(tmp_path, channel("only_during") + HOURS)
    (config.parent / "templates").symlink_to(Path("alertmanager/templates").resolve())
    done = subprocess.run(
        [tool("amtool", release), "check-config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_critical_alerts_do_not_wait_for_business_hours(tmp_path: Path) -> None:
    routes = severities(generated(tmp_path, channel("only_during") + HOURS))
    assert len(routes) == 2 * len(Severity)
    for name, route in routes.items():
        assert route.get("active_time_intervals") == (None if "critical" in name else ["window"])


def test_maintenance_holds_back_critical_alerts_too(tmp_path: Path) -> None:
    routes = severities(generated(tmp_path, channel("not_during") + HOURS))
    assert all(route["mute_time_intervals"] == ["window"] for route in routes.values())


def desk_routes(config: Path) -> list[dict[str, Any]]:
    routes = yaml.safe_load(config.read_text())["route"]["routes"]
    [desk] = [route for route in routes if route["receiver"] == DESK]
    return [route for route in desk["routes"] if "routes" in route]


def test_the_desk_is_silent_only_where_all_channels_of_an_alert_are(tmp_path: Path) -> None:
    [muted] = desk_routes(generated(tmp_path, channel("not_during") + HOURS))
    [alerts] = muted["matchers"]
    assert "AgentSlow" in alerts, "told by Slack alone"
    assert "AgentDown" not in alerts, "told by mail and PagerDuty as well"
    assert all(route["mute_time_intervals"] == ["window"] for route in muted["routes"])


def test_the_desk_has_the_hours_of_the_channels_it_speaks_for_but_for_critical_alerts(tmp_path: Path) -> None:
    [timed] = desk_routes(generated(tmp_path, channel("only_during") + HOURS))
    hours = {route["matchers"][0]: route.get("active_time_intervals") for route in timed["routes"]}
    assert hours == {f'severity="{each}"': None if each == "critical" else ["window"] for each in Severity}


@both_releases
async def test_a_maintenance_window_mutes_its_channel_and_no_other(tmp_path: Path, release: Release) -> None:
    config = generated(tmp_path, channel("not_during") + ALWAYS)
    (tmp_path / "am").mkdir()
    async with stack(tmp_path / "am", release, config) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(lambda seen: "/v2/enqueue" in seen.posts and len(seen.mails) == 1)
    assert "/slack" not in taken.posts


@pytest.mark.parametrize("times", ["9-18", "18:00-25:00", "nine to five"])
def test_a_bad_time_and_an_unknown_interval_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], times: str
) -> None:
    bad = GOOD + f'intervals:\n  window:\n    - times: ["{times}"]\n'
    assert any("intervals.window.0.times.0" in problem for problem in problems(tmp_path, capsys, bad))
    unknown = channel("only_during")
    [problem] = problems(tmp_path, capsys, unknown)
    assert "channels.slack.only_during.0: unknown interval window (define it in intervals)" in problem
