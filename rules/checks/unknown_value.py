"""A matched value is one that the label can have, where its values are closed."""

from collections.abc import Iterable, Iterator, Sequence

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy
from rules.promql import Matcher


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find matchers that can never match."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        for matcher in use.matchers if known else ():
            possible = known.values.get(matcher.label) if known else None
            for value in _unknown(matcher, possible) if possible else ():
                message = f"{matcher.label} of {use.metric} is never {value}"
                yield Finding(("condition",), message, f"its values: {', '.join(possible or ())}")


def _unknown(matcher: Matcher, possible: Sequence[str]) -> Iterable[str]:
    if plain := matcher.alternatives():
        return [value for value in plain if value and value not in possible]
    wanted = matcher._replace(operator="=~")
    return [] if any(map(wanted.holds, possible)) else [matcher.value]
