"""An alert's labels are few and bounded: each combination is a notification."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy

_UNBOUNDED = frozenset({"le", "protocol_version", "rpc_response_status_code", "cpu", "version"})
_MOST = 9


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find labels that multiply alerts."""
    found = facts.result_labels(policy)
    for label in sorted(found & _UNBOUNDED):
        yield Finding(("condition",), f"one alert for every {label}", "aggregate it away")
    if len(found) > _MOST + 4:
        yield Finding(("condition",), f"{len(found)} labels on one alert", "aggregate by those that people need")
