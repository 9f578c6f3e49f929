"""From a stopped MCP server and a flood of bad tokens to the messages that people receive, and their resolution."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract.ports import ENDPOINTS
from tests.e2e.stack import Stack, free_ports, get, running, until

ON_CALL = {("slack", ""), ("email", "on-call@lookout.example"), ("pagerduty", "")}
SECURITY_TEAM = {("email", "security-team@lookout.example")}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), free_ports()) as stack:
        # Not the overall status: the machine that runs the tests may itself be busy.
        until(lambda: parts(stack) >= {("agents", "healthy"), ("workflows", "healthy")}, "healthy agents and workflows")
        yield stack


def parts(stack: Stack) -> set[tuple[str, str]]:
    """Return the components of the system's health with their status."""
    found = stack.json("exporter", "/health")["component_health"]
    return {(name, component["status"]) for name, component in found.items()}


def targets(stack: Stack) -> set[str]:
    """Return the states that Prometheus' targets are in."""
    return {target["health"] for target in stack.json("prometheus", "/api/v1/targets")["data"]["activeTargets"]}


def rules(stack: Stack) -> set[str]:
    """Return the states that Prometheus' rules are in."""
    groups = stack.json("prometheus", "/api/v1/rules")["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


def messages(stack: Stack, state: str) -> list[dict[str, Any]]:
    """Return the messages that tell of firing or resolved alerts."""
    received: list[dict[str, Any]] = stack.json("sink", "/messages")["messages"]
    assert [message["refusal"] for message in received if not message["accepted"]] == []
    return [message for message in received if message["state"] == state]


def told(stack: Stack, alert: str, state: str) -> set[tuple[str, str]]:
    """Return who was told: the channel, and the address of an e-mail."""
    found = [message for message in messages(stack, state) if message["alert"] == alert]
    return {(message["channel"], message["to"] if message["channel"] == "email" else "") for message in found}


def everybody_knows(stack: Stack, alert: str, state: str, people: set[tuple[str, str]]) -> Callable[[], bool]:
    return lambda: told(stack, alert, state) >= people


def incidents(stack: Stack, alert: str) -> list[dict[str, Any]]:
    """Return the incidents of an alert."""
    found: list[dict[str, Any]] = stack.json("incident_desk", "/incidents")["incidents"]
    return [each for each in found if each["alert"] == alert]


def test_all_that_was_started_works(stack: Stack) -> None:
    agents = stack.json("exporter", "/health")["component_health"]["agents"]
    assert sum(kind["healthy_instances"] for kind in agents.values() if isinstance(kind, dict)) == 12
    until(lambda: targets(stack) == {"up"}, "every target up")
    until(lambda: (stack.sample("sum(mcp_workflow_runs_total)") or 0) > 0, "workflow runs")
    until(lambda: rules(stack) == {"ok"}, "every rule evaluated without an error")


def test_a_stopped_agent_pages_and_its_return_resolves(stack: Stack) -> None:
    stack.fault("agent-down", broken=True)
    until(everybody_knows(stack, "AgentDown", "firing", ON_CALL), "AgentDown on every channel")
    page = [message for message in messages(stack, "firing") if message["alert"] == "AgentDown"]
    assert len(page) == len(ON_CALL), "one message a channel"
    for message in page:
        assert message["severity"] == "critical"
        assert "planner-2" in str(message)
        links = dict(message["links"])
        assert get(links["Runbook"])[0] == 200
        assert links["Dashboard"].startswith(stack.url("grafana").replace("127.0.0.1", "localhost"))
    (opened,) = until(lambda: [each for each in incidents(stack, "AgentDown") if each["told"]], "an incident")
    assert sorted(opened["told"]) == ["email", "pagerduty", "slack"]
    stack.acknowledge(opened["id"], "Ada")
    stack.fault("agent-down", broken=False)
    until(everybody_knows(stack, "AgentDown", "resolved", ON_CALL), "its resolution on every channel")
    until(lambda: incidents(stack, "AgentDown")[0]["resolved"], "the end of the incident")
    (ended,) = incidents(stack, "AgentDown")
    assert ended["started"] <= ended["opened"] <= ended["acknowledged"] <= ended["resolved"]
    assert (ended["acknowledged_by"], ended["stages"]) == ("Ada", [])


def test_a_flood_of_bad_tokens_reaches_the_security_team(stack: Stack) -> None:
    stack.fault("bad-tokens", broken=True)
    people = ON_CALL | SECURITY_TEAM
    until(everybody_knows(stack, "SecurityBreach", "firing", people), "SecurityBreach on every channel", 120)
    stack.fault("bad-tokens", broken=False)
    until(everybody_knows(stack, "SecurityBreach", "resolved", people), "its resolution on every channel", 150)


def test_nobody_heard_of_anything_else(stack: Stack) -> None:
    alerts = {message["alert"] for message in messages(stack, "firing")}
    # The machine that runs the tests may itself be busy: that alert is real and not of this test's making.
    assert alerts - {"ResourceExhaustion"} == {"AgentDown", "SecurityBreach"}


def test_ports_are_moved_by_the_environment(stack: Stack) -> None:
    defaults = {str(endpoint.port) for endpoint in ENDPOINTS.values()}
    assert not defaults & {stack.url(name).rpartition(":")[2] for name in ENDPOINTS}
