"""A comparison can fail: one that holds for whatever the value is fires for as long as the metric is there."""

from collections.abc import Iterator

from contract.config import Finding
from rules import promql, ranges
from rules.comparison import OPERATORS, format_number
from rules.facts import Facts
from rules.interval import Interval
from rules.policy import Policy

_MEND = "compare with a limit on both sides of which values are"


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find comparisons that always hold; what has been left out before, as in count(a == 0) >= 1, can be enough."""
    for comparison in promql.comparisons(facts.tree(policy)):
        able = ranges.of(comparison.value, facts.metrics)
        if able.must_be(comparison.operator, comparison.limit) and not promql.filters(comparison.value):
            what = f"{comparison.operator} {format_number(comparison.limit)}"
            span = f"its value is from {format_number(able.low)} to {format_number(able.high)}"
            yield Finding(("condition",), f"{what} always holds: {span}", _MEND)
    ratio = policy.terms.condition.ratio
    if ratio and Interval(0, 1).must_be(OPERATORS[ratio.word], ratio.limit):
        yield Finding(("condition", "ratio", ratio.word), "every part is between 0 and 1 of its whole", _MEND)
