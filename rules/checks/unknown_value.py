"""A matched value is one that the label can have, where its values are closed."""

from collections.abc import Iterator

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find matchers that can never match."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        for matcher in use.matchers if known else ():
            possible = known.values.get(matcher.label) if known else None
            for value in matcher.alternatives():
                if possible and value and value not in possible:
                    message = f"{matcher.label} of {use.metric} is never {value}"
                    yield Finding(("condition",), message, f"its values: {', '.join(possible)}")
