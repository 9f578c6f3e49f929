"""The limit can be crossed: below the top bucket, within a ratio, within what a gauge can be."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql
from rules.comparison import format_number
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find comparisons that never hold, or always."""
    for comparison in promql.comparisons(facts.tree(policy)):
        top, why = _maximum(comparison.value, facts)
        if top is not None and not _is_reachable(comparison.operator, comparison.limit, top):
            message = f"{comparison.operator} {format_number(comparison.limit)} is out of reach: {why}"
            yield Finding(("condition",), message, "check the unit: 5% is 0.05, 2s is 2")
    ratio = policy.terms.condition.ratio
    if ratio and not _is_reachable({"above": ">", "below": "<"}.get(ratio.word, "=="), ratio.limit, 1.0):
        yield Finding(("condition", "ratio", ratio.word), "a part is between 0 and 1 of a whole", "write 5% or 0.05")


def _is_reachable(operator: str, limit: float, top: float) -> bool:
    """Whether a value between 0 and `top` can be on both sides of the limit."""
    inclusive = operator in (">=", "==", "!=", "<=")
    return 0 <= limit <= top if inclusive else (limit < top if operator == ">" else 0 < limit <= top)


def _maximum(value: Any, facts: Facts) -> tuple[float | None, str]:
    if isinstance(value, promql.Call) and value.func.name == "histogram_quantile":
        for use in promql.uses(value):
            known = facts.metrics.get(use.metric)
            if known and known.top_bucket:
                # A quantile beyond the top bucket is reported as that bucket.
                return known.top_bucket, f"the top bucket of {use.metric} is {format_number(known.top_bucket)}"
    if isinstance(value, promql.VectorSelector):
        known = facts.metrics.get(value.name or "")
        if known and known.maximum is not None:
            return known.maximum, f"{known.name} is at most {format_number(known.maximum)}"
    return None, ""
