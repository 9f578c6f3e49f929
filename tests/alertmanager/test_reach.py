"""Routes worked out offline agree with amtool, and whatever keeps an alert from its channels is found."""

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager import reach
from alertmanager.__main__ import main
from alertmanager.own_config import OwnConfig, Route
from alertmanager.reach import Tree
from contract.config import load
from contract.vocabulary import Severity
from rules import facts, slos
from rules.policy import Policy
from tests.alertmanager.test_matchers import told
from tests.alertmanager.test_routes import CONFIG, PACK, Release, both_releases, config, receivers_of

PLANTED = Path("tests/alertmanager/planted")
FACTS = facts.gather(PACK, Path(), slos.read(Path("rules/slos.yaml")))
TREES = {
    "children inherit": """
        - {matchers: [a="1"], routes: [{matchers: [b="1"]}, {receiver: two, matchers: [b="2"]}]}
        - {receiver: three, matchers: [b="1"]}""",
    "continue on some levels": """
        - {receiver: one, matchers: [a="1"], continue: true, routes: [{receiver: two, match: {b: 1}, continue: yes}]}
        - {receiver: three, matchers: ['a=~"1|2"'], continue: false}
        - {receiver: one}""",
    "continue ends within": """
        - receiver: one
          routes:
            - {receiver: two, matchers: [b="1"]}
            - {receiver: three}
        - {receiver: three, matchers: [a="2"]}""",
    "both notations at once": """
        - {receiver: one, matchers: [a!="1"], match: {b: "1"}, match_re: {a: "[12]"}, continue: true}
        - {receiver: two, match_re: {a: "", b: "(?i)X|1"}}
        - {receiver: three, match: {a: 01}}
        - {receiver: two, match: {a: yes}}""",
    "null is nothing": """
        - {receiver: one, matchers: ~, match: ~, routes: ~, continue: ~}
        - {receiver: two}""",
}
LABELS = [{"a": a, "b": b} for a, b in product(("", "1", "2", "01", "yes", "true"), ("", "1", "2", "X", "x"))]


def found(broken: dict[str, Any]) -> set[str]:
    return {str(problem) for problem in reach.problems(Tree(OwnConfig.model_validate(broken)), FACTS)}


@pytest.mark.parametrize(
    ("policy", "severity"), [*product(PACK.policies[::7], (Severity.CRITICAL, Severity.INFO))], ids=str
)
def test_offline_routes_agree_with_amtool(policy: Policy, severity: Severity) -> None:
    labels = {"alertname": policy.alert, "severity": severity.value, "agent": "planner-1"}
    offline = reach.receivers(Route.model_validate(config()["route"]), labels)
    assert ",".join(offline) == receivers_of("new", **labels)


@both_releases
@pytest.mark.parametrize("routes", TREES.values(), ids=TREES)
def test_trees_of_any_shape_are_followed_as_amtool_does(tmp_path: Path, release: Release, routes: str) -> None:
    file = tmp_path / "alertmanager.yml"
    names = "".join(f"  - name: {name}\n" for name in ("root", "one", "two", "three"))
    file.write_text(f"route:\n    receiver: root\n    routes:{routes}\nreceivers:\n{names}")
    tree = own(file)
    for labels in LABELS:
        pairs = [f"{label}={value}" for label, value in labels.items()]
        assert ",".join(tree.told(labels)) == told(release, file, pairs), labels


def own(file: Path) -> Tree:
    return Tree(load(file, OwnConfig, environ=None).config)


def test_every_policy_reaches_exactly_its_channels() -> None:
    assert found(config()) == set()


def test_a_forgotten_continue_is_found_with_the_policy_and_how_to_mend_it() -> None:
    broken = deepcopy(config())
    [route] = [each for each in broken["route"]["routes"] if each.get("matchers") == ['alertname="AgentDown"']]
    del route["routes"][0]["continue"]
    [agent_down] = [text for text in found(broken) if "AgentDown of" in text]
    assert "policies.agent_down.channels: AgentDown of severity critical reaches slack" in agent_down
    assert "it must reach email, pagerduty, slack: does a route before theirs lack `continue: true`?" in agent_down


def test_labels_that_a_policys_alerts_never_have_lead_nobody_astray() -> None:
    own = deepcopy(config())
    others = [{"receiver": "nobody", "matchers": [text]} for text in ('cluster="staging"', 'workflow="nightly"')]
    own["route"]["routes"][:0] = others
    said = found(own)
    assert not [text for text in said if "staging" in text or "AgentDown" in text or "ExporterDown" in text]
    assert any("WorkflowFailure of severity critical and workflow nightly reaches nobody" in text for text in said)


def test_a_label_has_no_value_but_those_that_condition_and_catalogue_leave_it() -> None:
    own = deepcopy(config())
    own["route"]["routes"].insert(0, {"receiver": "nobody", "matchers": ['job="prometheus"']})
    own["route"]["routes"].insert(0, {"receiver": "nobody", "matchers": ['kind="feedback"']})
    said = [text for text in found(own) if "HumanApprovalWaiting" in text or "ExporterDown" in text]
    assert len(said) == 1
    assert "HumanApprovalWaiting of severity critical and kind feedback reaches nobody" in said[0]


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


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"[" * 999, b"route: {receiver: a, routes: [[]]}", b"a: b\n---\n"])
def test_what_is_no_configuration_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_bytes(text)
    with pytest.raises(SystemExit):
        main(["--routes", str(file)])
    assert capsys.readouterr().err.startswith(f"{file}:1: ")
    with pytest.raises(SystemExit):
        main(["--routes", str(tmp_path)])
    assert f"{tmp_path}:1: cannot be read: " in capsys.readouterr().err


def test_variables_and_numbers_stay_the_text_that_they_are(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text('route: {receiver: "${HOME}", routes: [{receiver: a, match: {n: 0x10, v: "${HOME}"}}]}\n')
    assert own(file).told({"n": "0x10", "v": "${HOME}"}) == ["a"]
    assert own(file).told({"n": "16", "v": "${HOME}"}) == ["${HOME}"]
