"""Two policies with one condition page twice for one thing."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find a policy whose condition another one has already."""
    for other in facts.pack:
        if other.name == policy.name:
            return
        if other.terms.condition.expression() == policy.terms.condition.expression():
            yield Finding(("condition",), f"the same condition as {other.name}", "keep one, or change one")
