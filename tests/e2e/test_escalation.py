"""Escalation with the real Alertmanager and the sink: in order, to exactly its channels, and no longer than needed."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.native.layout import Layout
from tests.e2e.stack import Stack, free_ports, get, running, until

SERVICES = ("sink", "alertmanager", "incident-desk")
LEAD, MANAGEMENT, ON_CALL = (f"{name}@lookout.example" for name in ("team-lead", "management", "on-call"))
FIRST_SECONDS, SECOND_SECONDS = 2, 10


def hurry(layout: Layout) -> None:
    """Let stages come after seconds instead of minutes."""
    text = (layout.root / "rules/escalation.yaml").read_text().replace("after: 15m", f"after: {FIRST_SECONDS}s")
    stages = layout.state / "escalation.yaml"
    stages.write_text(text.replace("after: 45m", f"after: {SECOND_SECONDS}s"))
    desk = layout.etc / "lookout/desk.yaml"
    desk.write_text(desk.read_text().replace("../rules/escalation.yaml", str(stages)))
    routes = layout.etc / "alertmanager/alertmanager.yml"
    routes.write_text(re.sub(r"group_interval: \w+", "group_interval: 1s", routes.read_text()))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("escalation"), free_ports(), SERVICES, hurry) as stack:
        yield stack


STARTED = datetime.now(UTC)


def alert(agent: str, *, ended: bool = False) -> dict[str, Any]:
    now = datetime.now(UTC)
    labels = {
        "alertname": "AgentDown", "agent": f"{agent}-1", "agent_type": agent,
        "severity": "critical", "escalation": "immediate", "component": "agents",
    }  # fmt: skip
    annotations = {
        "summary": f"Agent {agent}-1 ({agent}) is down",
        "description": f"Every probe of {agent}-1 has failed.",
        "runbook_url": "http://localhost:9820/runbooks/agent_down",
        "acknowledge_url": "http://localhost:9822/acknowledge",
    }
    ends = now + (timedelta(seconds=-1) if ended else timedelta(hours=1))
    return {"labels": labels, "annotations": annotations, "startsAt": STARTED.isoformat(), "endsAt": ends.isoformat()}


def incident(stack: Stack, agent: str) -> dict[str, Any] | None:
    found = stack.json("incident_desk", "/incidents")["incidents"]
    return next((each for each in found if each["labels"]["agent_type"] == agent), None)


def told(stack: Stack, agent: str, state: str = "firing", alertname: str = "EscalationDue") -> list[tuple[str, str]]:
    """Return who was told of an agent's escalation, in order: the channel, and the address of a mail."""
    messages = stack.json("sink", "/messages")["messages"]
    assert [message["refusal"] for message in messages if not message["accepted"]] == []
    return [
        (message["channel"], message["to"])
        for message in messages
        if message["alert"] == alertname and message["state"] == state and f"{agent}-1" in str(message)
    ]


def silence(stack: Stack, agent: str) -> None:
    now = datetime.now(UTC)
    wanted = {"alertname": "AgentDown", "agent_type": agent}
    matchers = [{"name": name, "value": value, "isRegex": False} for name, value in wanted.items()]
    span = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    stack.post("alertmanager", "/api/v2/silences", {"matchers": matchers, **span, "createdBy": "t", "comment": "t"})


def test_stages_come_in_order_at_exactly_their_channels_and_stop_when_they_should(stack: Stack) -> None:
    agents = ("planner", "validator", "programmer", "documentation")
    stack.post("alertmanager", "/api/v2/alerts", [alert(agent) for agent in agents])
    until(lambda: all((incident(stack, agent) or {}).get("told") for agent in agents), "an incident for each alert")

    # The documentation's is taken on at once; nobody else may ever hear of it.
    stack.acknowledge((incident(stack, "documentation") or {})["id"], "Ada")
    first = [("email", LEAD), ("pagerduty", "")]
    until(lambda: sorted(told(stack, "planner")) == first, "the first stage")
    until(lambda: sorted(told(stack, "programmer")) == first, "the first stage of the one that will be silenced")
    until(lambda: sorted(told(stack, "validator")) == first, "the first stage of the one that will resolve")

    # Between the stages: one is silenced, one ends, and the desk is killed and comes back.
    silence(stack, "programmer")
    stack.post("alertmanager", "/api/v2/alerts", [alert("validator", ended=True)])
    stack.kill("incident-desk")
    stack.start("incident-desk")
    until(lambda: ("email", MANAGEMENT) in told(stack, "planner"), "the second stage")
    until(lambda: sorted(told(stack, "validator", "resolved")) == first, "the end of what resolved")
    until(lambda: sorted(told(stack, "programmer", "resolved")) == first, "the end of what is silenced")

    stages = (incident(stack, "planner") or {})["stages"]
    assert [each["stage"] for each in stages] == ["team_lead", "management"]
    assert stages[1]["at"] - stages[0]["at"] >= SECOND_SECONDS - FIRST_SECONDS
    assert sorted(told(stack, "planner")) == sorted([*first, ("email", MANAGEMENT)]), "each channel once"

    stack.acknowledge((incident(stack, "planner") or {})["id"], "Grace")
    until(lambda: len(told(stack, "planner", "resolved")) == 3, "the end of both stages")
    assert [sorted(told(stack, agent)) for agent in ("validator", "programmer")] == [first, first]
    assert told(stack, "documentation") == []


def test_the_history_tells_who_and_when(stack: Stack) -> None:
    planner, ended = incident(stack, "planner"), incident(stack, "validator")
    assert planner
    assert ended
    assert planner["acknowledged_by"] == "Grace"
    assert sorted(planner["told"]) == ["email", "pagerduty", "slack"]
    assert planner["resolved"] is None
    assert ended["acknowledged"] is None
    assert ended["started"] <= ended["opened"] <= ended["resolved"]
    history = get(stack.url("incident_desk", "/history"))[1]
    assert "acknowledged by Grace" in history
    assert "escalated to management" in history


def test_messages_lead_to_the_page_where_all_of_their_group_is_acknowledged(stack: Stack) -> None:
    messages = stack.json("sink", "/messages")["messages"]
    links = [dict(message["links"]) for message in messages if message["alert"] == "AgentDown"]
    addresses = {each["Acknowledge"] for each in links if "Acknowledge" in each}
    assert "http://localhost:9822/acknowledge?alertname=AgentDown&agent_type=planner" in addresses
    page = get(stack.url("incident_desk", "/acknowledge?agent_type=programmer&alertname=AgentDown"))[1]
    assert "One incident waits for somebody" in page
    due = stack.url("incident_desk", "/acknowledge?agent_type=programmer&alertname=EscalationDue&alert=AgentDown")
    assert "One incident waits for somebody" in get(due)[1]
    assert (incident(stack, "programmer") or {})["acknowledged"] is None, "looking changes nothing"
