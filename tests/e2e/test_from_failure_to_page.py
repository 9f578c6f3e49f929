"""From a stopped MCP server and a flood of bad tokens to the messages that people receive, and their resolution."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Stack, free_ports, get, running, until

PAGED = {"slack", "email", "pagerduty"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), free_ports()) as stack:
        until(lambda: stack.json("exporter", "/health")["overall_status"] == "healthy", "a healthy system")
        yield stack


def messages(stack: Stack, alert: str, state: str) -> list[dict[str, Any]]:
    """Return what the sink received of an alert, by the alert's name in the text."""
    received: list[dict[str, Any]] = stack.json("sink", "/messages")["messages"]
    return [message for message in received if message["state"] == state and alert in str(message)]


def channels(stack: Stack, alert: str, state: str) -> set[str]:
    return {message["channel"] for message in messages(stack, alert, state)}


def test_a_stopped_agent_pages_and_its_return_resolves(stack: Stack) -> None:
    stack.fault("agent-down", broken=True)
    until(lambda: channels(stack, "planner-2", "firing") >= PAGED, "AgentDown on every channel")
    for channel in PAGED:
        (message,) = [m for m in messages(stack, "planner-2", "firing") if m["channel"] == channel]
        assert "critical" in str(message)
        for link in set(re.findall(r"http://localhost:\d+/runbooks/agent_down", str(message))):
            status, page = get(link)
            assert (status, "planner" in page.lower() or "agent" in page.lower()) == (200, True)
    stack.fault("agent-down", broken=False)
    until(lambda: channels(stack, "planner-2", "resolved") >= PAGED, "its resolution on every channel")
