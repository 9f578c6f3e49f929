"""The part of a ratio lies within its whole: failures of successes are no share of anything."""

from collections.abc import Iterator, Sequence

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy
from rules.promql import Matcher


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find parts that select what their whole leaves out."""
    ratio = policy.terms.condition.ratio
    if not ratio:
        return
    part, whole = (next(promql.uses(promql.parse(text))) for text in (ratio.part, ratio.whole))
    known = facts.metrics.get(part.metric)
    if known is None or part.metric != whole.metric:
        return
    for label in sorted({matcher.label for matcher in whole.matchers}):
        named = [matcher.value for matcher in part.matchers if matcher.label == label and matcher.operator == "="]
        outside = _held(part.matchers, label, named or known.values.get(label, ()))
        outside = [value for value in outside if value not in _held(whole.matchers, label, outside)]
        if outside:
            message = f"the whole leaves out {label} {', '.join(outside)}, which the part counts"
            yield Finding(("condition", "ratio", "part"), message, "widen the whole, or narrow the part")


def _held(matchers: Sequence[Matcher], label: str, values: Sequence[str]) -> list[str]:
    return [value for value in values if all(each.holds(value) for each in matchers if each.label == label)]
