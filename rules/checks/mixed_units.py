"""Seconds are compared with seconds, and a moment with another moment."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.known_metrics import MOMENT
from rules.policy import Policy

_MOMENTS = frozenset({"time", "timestamp"})
_PER_SECOND = frozenset({"rate", "irate", "deriv", "changes", "resets"})
_COUNTING = frozenset({"count", "group", "stddev", "stdvar", "count_values"})
_ADDITIVE = frozenset({"+", "-"})


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find sums, differences and comparisons of values that have different units."""
    tree = facts.tree(policy)
    for node, _ in promql.walk(tree):
        if isinstance(node, promql.BinaryExpr) and str(node.op) in promql.COMPARISONS | _ADDITIVE:
            left, right = _unit(node.lhs, facts), _unit(node.rhs, facts)
            is_shifted = str(node.op) in _ADDITIVE and {left, right} == {MOMENT, "seconds"}
            if left and right and left != right and not is_shifted:
                yield Finding(("condition",), f"{left} {node.op} {right}: different units", "use metrics of one unit")
    for comparison in promql.comparisons(tree):
        if _unit(comparison.value, facts) == MOMENT and comparison.limit:
            message = "a moment is compared with a number of seconds"
            yield Finding(("condition",), message, "subtract it from time(), or use `overdue`")
    overdue = policy.terms.condition.overdue
    if overdue and _unit(promql.parse(overdue.since), facts) != MOMENT:
        yield Finding(("condition", "overdue", "since"), f"{overdue.since} is no moment", "use a …_timestamp_seconds")


def _unit(node: Any, facts: Facts) -> str:
    """Return the unit of an expression's values; empty where it has none or none is known."""
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        selector = node if isinstance(node, promql.VectorSelector) else node.vector_selector
        known = facts.metrics.get(selector.name or "")
        return known.unit if known else ""
    if isinstance(node, promql.BinaryExpr):
        return _of_operator(str(node.op), _unit(node.lhs, facts), _unit(node.rhs, facts))
    if isinstance(node, promql.Call) and node.func.name in _MOMENTS:
        return MOMENT
    if isinstance(node, promql.Call) and node.func.name in _PER_SECOND | {"count_over_time", "absent"}:
        return ""
    if isinstance(node, promql.AggregateExpr) and str(node.op).lower() in _COUNTING:
        return ""
    return next((unit for each in promql.children(node) if (unit := _unit(each, facts))), "")


def _of_operator(operator: str, left: str, right: str) -> str:
    if operator not in _ADDITIVE:
        return "" if operator in ("*", "/", "%", "^", "atan2") else left
    if left == right:
        return "seconds" if left == MOMENT else left
    return MOMENT if {left, right} == {MOMENT, "seconds"} else ""
