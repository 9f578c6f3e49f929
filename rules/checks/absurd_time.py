"""Times are such that Prometheus has what they ask for, and that somebody lives to see the alert."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from contract.fields import format_duration
from rules import promql
from rules.conventions import RETENTION_SECONDS
from rules.facts import Facts
from rules.policy import Policy

_YEAR_SECONDS = 366 * 86400
_KEPT = f"Prometheus keeps {format_duration(RETENTION_SECONDS)}"


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find times beyond what is kept, in the future, of one moment, of years, and shorter than a sample's age."""
    for key, seconds in (("for", policy.terms.for_), ("keep_firing_for", policy.terms.keep_firing_for)):
        if seconds > RETENTION_SECONDS:
            yield Finding((key,), f"{format_duration(seconds)} of one and the same", f"{_KEPT}; hours are usual")
    for node, above in promql.walk(facts.tree(policy)):
        yield from _look_back(node, above)
    yield from _overdue(policy, facts)


def _look_back(node: Any, above: tuple[Any, ...]) -> Iterator[Finding]:
    if not isinstance(node, promql.VectorSelector | promql.MatrixSelector | promql.SubqueryExpr):
        return
    selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
    if selector.at is not None:
        yield Finding(("condition",), "@ asks for one moment, whatever happens now", "leave it out, or use offset")
    if selector.offset is not None and selector.offset.total_seconds() < 0:
        yield Finding(("condition",), "a negative offset asks for what has not been yet", "leave it out")
    seconds = sum(_span(each) for each in (node, *above))
    if seconds > RETENTION_SECONDS:
        yield Finding(("condition",), f"it looks back {format_duration(seconds)}", _KEPT)


def _span(node: Any) -> float:
    """Return how far a range and its offset reach back."""
    selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
    spans = (getattr(node, "range", None), getattr(selector, "offset", None))
    return float(sum(span.total_seconds() for span in spans if span is not None))


def _overdue(policy: Policy, facts: Facts) -> Iterator[Finding]:
    overdue = policy.terms.condition.overdue
    if not overdue:
        return
    place, after = ("condition", "overdue", "after"), format_duration(overdue.after)
    least = max(4 * facts.scrape_interval(use.metric) for use in promql.uses(promql.parse(overdue.since)))
    if overdue.after > _YEAR_SECONDS:
        yield Finding(place, f"{after} is more than a year", "whoever wants to know of it wants to know sooner")
    elif overdue.after < least:
        message = f"{after} have always passed, as a sample is that old itself"
        yield Finding(place, message, f"use at least {format_duration(least)}")
