"""rate() sees each series restart by itself; in a sum, one restart looks like a leap of all."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find functions for counters around aggregations."""
    for node, _above in promql.walk(facts.tree(policy)):
        if promql.name_of(node) in ("rate", "irate", "increase") and _is_aggregated(node):
            name = promql.name_of(node)
            yield Finding(("condition",), f"{name}() of a sum of counters", f"turn it round: sum({name}(…))")


def _is_aggregated(node: Any) -> bool:
    return any(isinstance(each, promql.AggregateExpr) for each, _ in promql.walk(node))
