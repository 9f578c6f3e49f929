"""Each alert reaches exactly the union of its channels, by the word of amtool of both supported ends."""

import subprocess
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from alertmanager.desk_routing import DESK
from contract.vocabulary import Escalation, Severity
from rules import escalation, pack
from rules.escalation import Stage
from tests.tools import tool

CONFIG = Path("alertmanager/generated/alertmanager.yml")
PACK = pack.read(Path("rules/policies"))
Release = Literal["old", "new"]
both_releases = pytest.mark.parametrize("release", ["old", "new"])

# The seeds' own words; not read from the policies, so that a changed policy is noticed.
SEEDS = {
    "AgentDown": ("critical", "slack,email,pagerduty"),
    "HighErrorRate": ("major", "slack,email"),
    "WorkflowFailure": ("major", "slack,email"),
    "ResourceExhaustion": ("major", "slack,email"),
    "SecurityBreach": ("critical", "slack,email,pagerduty,security_team"),
}


def receivers_of(release: Release, **labels: str) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    command: list[str | Path] = [tool("amtool", release), "config", "routes", "test", f"--config.file={CONFIG}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return loaded


@both_releases
def test_amtool_accepts_the_configuration(tmp_path: Path, release: Release) -> None:
    (tmp_path / "templates").symlink_to(Path("alertmanager/templates").resolve())
    copy = tmp_path / CONFIG.name
    copy.write_text(CONFIG.read_text())
    done = subprocess.run([tool("amtool", release), "check-config", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 templates" in done.stdout


@both_releases
@pytest.mark.parametrize("alert", SEEDS)
def test_a_seed_alert_reaches_exactly_its_channels(release: Release, alert: str) -> None:
    severity, channels = SEEDS[alert]
    assert receivers_of(release, alertname=alert, severity=severity) == f"{channels},{DESK}"


@pytest.mark.parametrize(("policy", "severity"), [*product(PACK, Severity)], ids=str)
def test_severity_never_changes_who_is_told(policy: Any, severity: Severity) -> None:
    named = [channel for channel in config_channels() if channel in policy.terms.channels]
    told = [*named, DESK] if named else ["nobody"]
    assert receivers_of("new", alertname=policy.alert, severity=severity.value) == ",".join(told)


def config_channels() -> list[str]:
    return [receiver["name"] for receiver in config()["receivers"] if receiver["name"] not in ("nobody", DESK)]


def policy_routes() -> dict[str, dict[str, Any]]:
    """Return the routes of policies by their alerts."""
    routes = [route for route in config()["route"]["routes"] if "matchers" in route]
    return {route["matchers"][0].split('"')[1]: route for route in routes}


STAGES = escalation.read(Path("rules/escalation.yaml")).escalations


@both_releases
@pytest.mark.parametrize(("word", "stage"), [(word, stage) for word in STAGES for stage in STAGES[word]], ids=str)
def test_a_stage_of_escalation_reaches_exactly_its_channels_and_not_the_desk(
    release: Release, word: Escalation, stage: Stage
) -> None:
    labels = {"alertname": escalation.ALERT, "escalation": word.value, "stage": stage.name, "severity": "critical"}
    named = [channel for channel in config_channels() if channel in stage.channels]
    assert receivers_of(release, **labels) == ",".join(named)


def test_a_stage_that_the_routes_do_not_know_reaches_the_fallback_channel() -> None:
    for labels in ({"escalation": "standard", "stage": "x"}, {"escalation": "x", "stage": "team_lead"}, {}):
        assert receivers_of("new", alertname=escalation.ALERT, severity="critical", **labels) == "slack"


@both_releases
def test_the_watchdog_reaches_nobody(release: Release) -> None:
    assert receivers_of(release, alertname="Watchdog", severity="info") == "nobody"
    [nobody] = [receiver for receiver in config()["receivers"] if receiver["name"] == "nobody"]
    assert nobody == {"name": "nobody"}


@both_releases
def test_an_alert_that_no_policy_knows_reaches_the_fallback(release: Release) -> None:
    assert receivers_of(release, alertname="SomebodysOwn", severity="critical") == f"slack,{DESK}"


def test_severity_sets_the_pace() -> None:
    paces = {"critical": ("10s", "1m", "1h"), "major": ("30s", "5m", "4h"), "minor": ("5m", "15m", "1d")}
    routes = policy_routes()
    for policy in PACK:
        if policy.terms.channels:
            route = routes[policy.alert]
            pace = tuple(route[wait] for wait in ("group_wait", "group_interval", "repeat_interval"))
            assert pace == paces[policy.terms.severity], policy
    for route in config()["route"]["routes"][-2:]:
        others = {child["matchers"][0]: child["group_wait"] for child in route["routes"]}
        assert others['severity="critical"'] == "10s", "also of what is no policy's alert"


def test_only_a_policy_that_groups_otherwise_says_so() -> None:
    grouped = {alert: route["group_by"] for alert, route in policy_routes().items() if "group_by" in route}
    assert grouped.pop(escalation.ALERT)[-1] == "stage"
    assert grouped == {"HighErrorRate": ["alertname"]}


def test_the_way_to_an_alert_names_no_other_policy() -> None:
    for route in config()["route"]["routes"]:
        for matcher in route.get("matchers", ()):
            assert "~" not in matcher, "a list would change with each policy, and with it the groups of all others"


def test_inhibition_needs_its_labels_on_both_sides() -> None:
    for rule in config()["inhibit_rules"]:
        for label in rule["equal"]:
            assert f'{label}!=""' in rule["source_matchers"]
            assert f'{label}!=""' in rule["target_matchers"]


def test_every_receiver_tells_of_the_end() -> None:
    for receiver in config()["receivers"]:
        for key, targets in receiver.items():
            if key != "name":
                assert all(target["send_resolved"] for target in targets), receiver["name"]


def test_no_secret_stands_in_the_configuration() -> None:
    text = CONFIG.read_text()
    assert "api_url:" not in text
    assert "routing_key:" not in text
    assert "password:" not in text
    assert "credentials:" not in text
    assert "url_file" not in text.replace("api_url_file", "")
