"""Routes worked out offline agree with amtool, and a forgotten `continue` is found."""

from copy import deepcopy
from itertools import product
from pathlib import Path

import pytest
import yaml

from alertmanager import reach
from alertmanager.__main__ import main
from contract.vocabulary import Severity
from rules.policy import Policy
from tests.alertmanager.test_routes import CONFIG, PACK, config, receivers_of

PLANTED = Path("tests/alertmanager/planted")


@pytest.mark.parametrize(
    ("policy", "severity"), [*product(PACK.policies[::7], (Severity.CRITICAL, Severity.INFO))], ids=str
)
def test_offline_routes_agree_with_amtool(policy: Policy, severity: Severity) -> None:
    labels = {"alertname": policy.alert, "severity": severity.value, "agent": "planner-1"}
    assert ",".join(reach.receivers(config()["route"], labels)) == receivers_of("new", **labels)


def test_every_policy_reaches_exactly_its_channels() -> None:
    assert list(reach.problems(config(), PACK)) == []


def test_a_forgotten_continue_is_found_with_the_policy_and_how_to_mend_it() -> None:
    broken = deepcopy(config())
    slack = next(route for route in broken["route"]["routes"] if route["receiver"] == "slack" and "continue" in route)
    del slack["continue"]
    found = {str(problem) for problem in reach.problems(broken, PACK)}
    [agent_down] = [text for text in found if "AgentDown of" in text]
    assert "policies.agent_down.channels: AgentDown of severity critical reaches slack" in agent_down
    assert "it must reach email, pagerduty, slack: does a route before theirs lack `continue: true`?" in agent_down


def test_somebodys_own_configuration_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--routes", str(CONFIG)]) == 0
    broken = config()
    broken["route"]["routes"] = broken["route"]["routes"][:3]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(broken))
    with pytest.raises(SystemExit) as ended:
        main(["--routes", str(tmp_path / "alertmanager.yml")])
    assert ended.value.code == 2
    assert "SecurityBreach of severity critical reaches slack" in capsys.readouterr().err


@pytest.mark.parametrize("file", sorted(PLANTED.glob("*.yml")), ids=lambda file: file.stem)
def test_a_planted_mistake_in_routes_is_caught(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")
    with pytest.raises(SystemExit) as ended:
        main(["--routes", str(file), "--policies", str(PLANTED / "policies")])
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("matcher", "labels", "holds"),
    [
        ('a="b"', {"a": "b"}, True),
        ('a="b"', {}, False),
        ('a!="b"', {}, True),
        ('a=~"b|c"', {"a": "c"}, True),
        ('a=~"b"', {"a": "bb"}, False),
        ('a!~"b.*"', {"a": "bb"}, False),
        ("a=b", {"a": "b"}, True),
        ('a=""', {}, True),
    ],
)
def test_matchers_hold_as_in_alertmanager(matcher: str, labels: dict[str, str], holds: bool) -> None:
    route = {"receiver": "root", "routes": [{"receiver": "child", "matchers": [matcher]}]}
    assert reach.receivers(route, labels) == (["child"] if holds else ["root"])


def test_what_is_no_matcher_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a matcher"):
        reach.receivers({"receiver": "root", "routes": [{"matchers": ["a b"]}]}, {})
