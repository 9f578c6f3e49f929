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


GROUPING: Mapping[str, tuple[int, int]] = {"critical": (10, 60), "major": (30, 300), "minor": (300, 900)}
"""Seconds that Alertmanager waits before a group's first message, and between two of them, by severity."""


@dataclass(frozen=True)
class Expectation:
    """What follows from a fault."""

    does: str
    look: str
    alert: str
    severity: str
    seen_seconds: int
    """From the break until the alert's condition is seen: windows fill; probes, scrapes and evaluations come by."""
    holds_seconds: int
    """How long the condition has to hold, the policy's `for`."""
    clears_seconds: int
    """From the healing until the alert ends: windows drain, and it may be kept firing for a while."""
    channels: tuple[str, ...]

    @property
    def message_seconds(self) -> int:
        """From the break to the first message."""
        return self.seen_seconds + self.holds_seconds + GROUPING[self.severity][0]

    @property
    def resolved_seconds(self) -> tuple[int, int]:
        """From the healing to the resolved message, at least and at most."""
        return self.clears_seconds, self.clears_seconds + GROUPING[self.severity][1]


def about(seconds: float) -> str:
    """Return a time as people say it: tens of seconds, from a minute on half minutes."""
    if seconds < 55:
        return f"{round(seconds / 10) * 10} s"
    minutes, is_half = divmod(round(seconds / 30), 2)
    return f"{minutes}{'½' if is_half else ''} min"


PAGE = ("slack", "email", "pagerduty")
TELL = ("slack", "email")

EXPECTATIONS: Mapping[Fault, Expectation] = {
    Fault.AGENT_DOWN: Expectation(
        "planner-2 closes its port and its connections; the engine goes on with planner-1",
        "planner-2 is unhealthy on the exporter's page within 15 s",
        "AgentDown",
        "critical",
        seen_seconds=15,
        holds_seconds=120,
        clears_seconds=30,
        channels=PAGE,
    ),
    Fault.AGENT_SLOW: Expectation(
        "planner-1 answers everything 3 seconds late",
        "probe latency of planner-1 and the duration of planning steps rise",
        "AgentSlow",
        "minor",
        seen_seconds=90,
        holds_seconds=300,
        clears_seconds=60,
        channels=("slack",),
    ),
    Fault.BAD_TOKENS: Expectation(
        "an intruder sends forged, expired, misdirected and malformed tokens to the sidecar, 30 a minute",
        "failed authentications by reason rise; reason expired after 1½ min, until then a forged token more",
        "SecurityBreach",
        "critical",
        seen_seconds=36,
        holds_seconds=0,
        clears_seconds=170,
        channels=(*PAGE, "security_team"),
    ),
    Fault.TOOL_ERRORS: Expectation(
        "every 4th tool call of every agent ends as an error; the engine tries again and gets through",
        "the share of tool errors rises to 25 %",
        "HighErrorRate",
        "major",
        seen_seconds=40,
        holds_seconds=300,
        clears_seconds=120,
        channels=TELL,
    ),
    Fault.WORKFLOW_FAILURES: Expectation(
        "the validators find fault with every plan, so every run gives up after 5 iterations",
        "runs end as max_iterations",
        "WorkflowFailure",
        "major",
        seen_seconds=45,
        holds_seconds=600,
        clears_seconds=300,
        channels=TELL,
    ),
    Fault.CPU: Expectation(
        "one busy process a core, at the lowest priority",
        "the host's CPU use rises to 100 %",
        "ResourceExhaustion",
        "major",
        seen_seconds=65,
        holds_seconds=180,
        clears_seconds=30,
        channels=TELL,
    ),
}
