"""What one selector asks of a label can be: no label is a and b at once."""

from collections.abc import Iterator, Sequence

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy
from rules.promql import ANYTHING, Matcher


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find selectors with a label that no value satisfies."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        for label in dict.fromkeys(matcher.label for matcher in use.matchers):
            matchers = [matcher for matcher in use.matchers if matcher.label == label]
            closed = known.values.get(label, ()) if known else ()
            # Of a single wanted value, unknown_value tells.
            is_alone = len(matchers) == 1 and not matchers[0].operator.startswith("!")
            if not is_alone and not _is_possible(matchers, closed):
                shown = ", ".join(map(str, matchers))
                yield Finding(("condition",), f"nothing in {use.metric} is {shown}", "keep what is meant")


def _is_possible(matchers: Sequence[Matcher], closed: Sequence[str]) -> bool:
    """Whether any value satisfies all matchers; of an open label none is known but those that a matcher names."""
    exact = tuple(matcher.value for matcher in matchers if matcher.operator == "=")
    named = [plain for matcher in matchers if matcher.operator == "=~" and (plain := matcher.alternatives())]
    values = exact or next(iter(named), tuple(closed))
    if not values:
        matchers = [matcher for matcher in matchers if matcher.operator != "=~"]
    return any(all(matcher.holds(value) for matcher in matchers) for value in values or ANYTHING)
