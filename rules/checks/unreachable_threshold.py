"""The limit can be crossed: below the top bucket, within a ratio, within what a gauge can be."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql, ranges
from rules.comparison import OPERATORS, format_number
from rules.facts import Facts
from rules.interval import Interval
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find comparisons that never hold."""
    for comparison in promql.comparisons(facts.tree(policy)):
        able = ranges.of(comparison.value, facts.metrics)
        if not able.can_be(comparison.operator, comparison.limit):
            message = f"{comparison.operator} {format_number(comparison.limit)} is out of reach"
            why = _why(comparison.value, able, comparison.limit, facts)
            yield Finding(("condition",), f"{message}: {why}", "check the unit: 5% is 0.05, 2s is 2")
    ratio = policy.terms.condition.ratio
    if ratio and not Interval(0, 1).can_be(OPERATORS[ratio.word], ratio.limit):
        yield Finding(("condition", "ratio", ratio.word), "a part is between 0 and 1 of a whole", "write 5% or 0.05")


def _why(value: Any, able: Interval, limit: float, facts: Facts) -> str:
    name = str(value.name) if isinstance(value, promql.VectorSelector) else "its value"
    if isinstance(value, promql.Call) and value.func.name == "histogram_quantile":
        buckets = [use.metric for use in promql.uses(value) if use.metric in facts.metrics]
        name = f"the top bucket of {', '.join(buckets)}"
        return f"{name} is {format_number(able.high)}" if limit >= able.high else "no quantile is below 0"
    if able.low < limit < able.high:
        return f"{name} is a whole number"
    most, bound = ("most", able.high) if limit >= able.high else ("least", able.low)
    return f"{name} is at {most} {format_number(bound)}"
