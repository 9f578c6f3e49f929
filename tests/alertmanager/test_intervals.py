"""Business hours and maintenance windows: accepted by amtool of both ends, kept by the real Alertmanager."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager.__main__ import main
from alertmanager.desk_routing import DESK
from contract.vocabulary import Severity
from rules.policy import Policy
from tests.alertmanager.test_messages import Release, agent_down, both_releases, send, stack
from tests.alertmanager.test_receivers import GOOD, problems
from tests.alertmanager.test_routes import PACK
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


def routes_of(receiver: str, config: Path) -> list[tuple[Policy, dict[str, Any]]]:
    """Return the policies whose alerts a receiver gets, each with the route that leads there."""
    policies = {f'alertname="{policy.alert}"': policy for policy in PACK}
    return [
        (policies[route["matchers"][0]], child)
        for route in yaml.safe_load(config.read_text())["route"]["routes"]
        if route.get("matchers", [""])[0] in policies
        for child in route.get("routes", ())
        if child["receiver"] == receiver
    ]


@both_releases
def test_amtool_accepts_intervals(tmp_path: Path, release: Release) -> None:
    config = generated(tmp_path, channel("only_during") + HOURS)
    (config.parent / "templates").symlink_to(Path("alertmanager/templates").resolve())
    done = subprocess.run(
        [tool("amtool", release), "check-config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("receiver", ["slack", DESK])
def test_critical_alerts_do_not_wait_for_business_hours(tmp_path: Path, receiver: str) -> None:
    routes = routes_of(receiver, generated(tmp_path, channel("only_during") + HOURS))
    assert len(routes) > len(PACK.policies) / 2
    for policy, route in routes:
        waits = policy.terms.severity is not Severity.CRITICAL and (receiver == "slack" or told_by_slack_alone(policy))
        assert route.get("active_time_intervals") == (["window"] if waits else None), policy


def test_maintenance_holds_back_critical_alerts_too(tmp_path: Path) -> None:
    routes = routes_of("slack", generated(tmp_path, channel("not_during") + HOURS))
    assert all(route["mute_time_intervals"] == ["window"] for _, route in routes)


def told_by_slack_alone(policy: Policy) -> bool:
    return policy.terms.channels == ("slack",)


def test_the_desk_is_silent_only_where_all_channels_of_an_alert_are(tmp_path: Path) -> None:
    routes = routes_of(DESK, generated(tmp_path, channel("not_during") + HOURS))
    assert {told_by_slack_alone(policy) for policy, _ in routes} == {True, False}
    for policy, route in routes:
        assert route.get("mute_time_intervals") == (["window"] if told_by_slack_alone(policy) else None), policy


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
