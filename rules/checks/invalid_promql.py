"""The condition is PromQL that parses."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find a condition that Prometheus would refuse."""
    try:
        facts.tree(policy)
    except ValueError as error:
        yield Finding(("condition",), f"not PromQL: {error}", "try the expression in Prometheus")
