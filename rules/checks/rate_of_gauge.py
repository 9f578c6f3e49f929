"""rate() and increase() take every fall of a gauge for a restart."""

from collections.abc import Iterator

from contract.config import Finding
from contract.metric import Kind
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find gauges under functions for counters."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        if known and known.kind is Kind.GAUGE and use.function in ("rate", "irate", "increase"):
            yield Finding(("condition",), f"{use.function}() of the gauge {use.metric}", "use deriv() or delta()")
