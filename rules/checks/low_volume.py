"""A ratio says nothing without a minimum of events: one failed run of one is no incident."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find hand-written ratios of rates without a guard."""
    for node, above in promql.walk(facts.tree(policy)):
        if _is_ratio(node) and not any(_operator(each) == "and" for each in above):
            mend = "use the condition `ratio`, or add: and sum(increase(…)) >= 10"
            yield Finding(("condition",), "a ratio without a minimum of events", mend)


def _operator(node: Any) -> str:
    return str(node.op).lower() if isinstance(node, promql.BinaryExpr) else ""


def _is_ratio(node: Any) -> bool:
    return _operator(node) == "/" and _counts(node.lhs) and _counts(node.rhs)


def _counts(node: Any) -> bool:
    return any(use.function in ("rate", "increase") for use in promql.uses(node))
