"""The five policies that the seeds demand: their numbers stand here a second time, so that a change is noticed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rules import pack

PACK = pack.read(Path("rules/policies"))
GENERATED = Path("rules/generated")
BOARDS = [json.loads(file.read_text()) for file in Path("dashboards/generated").glob("*.json")]
TITLES = {board["uid"]: board["title"] for board in BOARDS}

SEEDS = {
    "agent_down": ("critical", ("slack", "email", "pagerduty"), "immediate", "2m"),
    "high_error_rate": ("major", ("slack", "email"), "standard", "5m"),
    "workflow_failure": ("major", ("slack", "email"), "standard", "10m"),
    "resource_exhaustion": ("major", ("slack", "email"), "standard", "3m"),
    "security_breach": ("critical", ("slack", "email", "pagerduty", "security_team"), "immediate", None),
}
COMPARISONS = {
    "agent_down": ["== 0"],
    "high_error_rate": ["> 0.05"],
    "workflow_failure": ["< 0.9"],
    "resource_exhaustion": ["> 0.9", "> 0.95"],
    "security_breach": ["[1m]", "> 10"],
}


def rule_of(policy: str) -> dict[str, Any]:
    found = PACK.get(policy)
    assert found is not None
    file = yaml.safe_load((GENERATED / f"{policy}.yaml").read_text())
    [rule] = [rule for group in file["groups"] for rule in group["rules"] if rule.get("alert") == found.alert]
    return dict(rule)


@pytest.mark.parametrize("name", SEEDS)
def test_seed_policy_has_exactly_its_severity_channels_escalation_and_duration(name: str) -> None:
    policy = PACK.get(name)
    assert policy is not None
    severity, channels, escalation, lasting = SEEDS[name]
    rule = rule_of(name)
    assert policy.terms.channels == channels
    assert rule["labels"] == {"severity": severity, "escalation": escalation, "component": policy.component.value}
    assert rule.get("for") == lasting


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        (
            "agent_down",
            "agents?var-agent_type={{ $labels.agent_type | urlquery }}&var-agent={{ $labels.agent | urlquery }}",
        ),
        ("workflow_failure", "workflows?var-workflow={{ $labels.workflow | urlquery }}"),
        ("resource_exhaustion", "infrastructure?var-instance={{ $labels.instance | urlquery }}"),
        ("security_breach", "security"),
    ],
)
def test_a_seed_alert_leads_to_the_board_of_its_concern(name: str, leads_to: str) -> None:
    assert rule_of(name)["annotations"]["dashboard_url"] == f"http://localhost:3000/d/mcp-lookout-{leads_to}"


@pytest.mark.parametrize("name", SEEDS)
def test_seed_policy_compares_with_exactly_its_numbers(name: str) -> None:
    for comparison in COMPARISONS[name]:
        assert comparison in rule_of(name)["expr"]


@pytest.mark.parametrize("name", ["high_error_rate", "workflow_failure"])
def test_ratios_of_the_seeds_need_a_minimum_volume(name: str) -> None:
    assert " >= " in rule_of(name)["expr"].split("\nunless")[0].splitlines()[-1]


def test_breaches_are_summed_first_and_compared_then() -> None:
    assert rule_of("security_breach")["expr"].startswith("floor(sum(increase(")


@pytest.mark.parametrize("policy", PACK.policies, ids=str)
def test_every_rule_carries_the_labels_and_annotations_of_the_contract(policy: Any) -> None:
    rule = rule_of(policy.name)
    assert set(rule["labels"]) == {"severity", "escalation", "component"}
    held = {"condition_held"} if "for" in rule else set()
    links = {"runbook_url", "dashboard_url", "acknowledge_url"}
    assert set(rule["annotations"]) == {"summary", "description"} | held | links
    assert rule["annotations"].get("condition_held") == rule.get("for")
    assert rule["annotations"]["runbook_url"] == f"http://localhost:9820/runbooks/{policy.name}"
    assert rule["annotations"]["acknowledge_url"] == "http://localhost:9822/acknowledge"
    assert rule["annotations"]["dashboard_url"].startswith("http://localhost:3000/d/mcp-lookout-")


@pytest.mark.parametrize("policy", PACK.policies, ids=str)
def test_every_policy_has_a_runbook_page_with_all_its_parts(policy: Any) -> None:
    page = Path("docs/runbooks", f"{policy.name}.md").read_text()
    assert page.startswith(f"# {policy.alert}\n")
    terms = policy.terms
    assert f"**Severity** {terms.severity} · **Escalation** {terms.escalation} · " in page
    assert f" · **Policy** `{policy.name}` in `{policy.file}`" in page
    board = rule_of(policy.name)["annotations"]["dashboard_url"]
    of_no_subject = re.sub("[?&]var-.*", "", board)
    assert f" · **Dashboard** [{TITLES[terms.dashboard.uid]}]({of_no_subject})\n" in page
    parts = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert parts == ["Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation"]


def test_every_runbook_page_belongs_to_a_policy() -> None:
    assert {path.stem for path in Path("docs/runbooks").glob("*.md")} == {policy.name for policy in PACK}
