"""A pattern leaves something out: one that everything matches says less than it seems to."""

from collections.abc import Iterator

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy
from rules.promql import ANYTHING


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find patterns that match whatever a label can be."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        for matcher in use.matchers:
            closed = known.values.get(matcher.label, ()) if known else ()
            is_pattern = matcher.operator == "=~" and not matcher.alternatives()
            if is_pattern and all(map(matcher.holds, closed or ANYTHING)):
                message = f"{matcher} matches every {matcher.label} of {use.metric}"
                yield Finding(("condition",), message, "leave it out")
