"""The faults by name: what each breaks and what a newcomer should see; a test holds it against the alert policies."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Names as `make demo-break FAULT=…` takes them."""

    AGENT_DOWN = "agent-down"
    AGENT_SLOW = "agent-slow"
    BAD_TOKENS = "bad-tokens"
    TOOL_ERRORS = "tool-errors"
    WORKFLOW_FAILURES = "workflow-failures"
    CPU = "cpu"


@dataclass(frozen=True)
class Expectation:
    """What follows from a fault."""

    does: str
    look: str
    alert: str = ""
    """The alert that fires; empty when none of the shipped policies is for it."""
    after_minutes: int = 0
    """The time the condition has to hold; notification adds seconds for scrapes and grouping."""
    channels: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Alerts that may follow when it goes on."""


PAGE = ("slack", "email", "pagerduty")
TELL = ("slack", "email")

EXPECTATIONS: Mapping[Fault, Expectation] = {
    Fault.AGENT_DOWN: Expectation(
        "planner-2 closes its port and its connections; the engine goes on with planner-1",
        "planner-2 is unhealthy on the exporter's page at once",
        "AgentDown",
        2,
        PAGE,
        also=("AgentAvailabilityFastBurn",),
    ),
    Fault.AGENT_SLOW: Expectation(
        "planner-1 answers everything 3 seconds late",
        "probe latency of planner-1 and the duration of planning steps rise",
        "AgentSlow",
        5,
        ("slack",),
    ),
    Fault.BAD_TOKENS: Expectation(
        "an intruder sends forged, expired, misdirected and malformed tokens to the sidecar, 30 a minute",
        "failed authentications by reason rise",
        "SecurityBreach",
        1,
        (*PAGE, "security_team"),
    ),
    Fault.TOOL_ERRORS: Expectation(
        "every 4th tool call of every agent ends as an error; the engine tries again and gets through",
        "the share of tool errors rises to 25 %",
        "HighErrorRate",
        5,
        TELL,
    ),
    Fault.WORKFLOW_FAILURES: Expectation(
        "the validators find fault with every plan, so every run gives up after 5 iterations",
        "runs end as max_iterations",
        "WorkflowFailure",
        10,
        TELL,
        also=("WorkflowSuccessFastBurn",),
    ),
    Fault.CPU: Expectation(
        "one busy process a core, at the lowest priority",
        "the host's CPU use rises to 100 %",
        "ResourceExhaustion",
        3,
        TELL,
    ),
}
