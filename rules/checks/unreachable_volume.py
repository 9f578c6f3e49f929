"""The events that a condition waits for can happen: so many, in so short a window."""

from collections.abc import Iterator

from contract.config import Finding
from contract.fields import format_duration
from rules.comparison import format_number
from rules.facts import Facts
from rules.policy import Policy

_MOST_PER_SECOND = 1e5
"""More than any installation does that this watches."""


def check(policy: Policy, _facts: Facts) -> Iterator[Finding]:
    """Find counts and minimum_events that no window holds."""
    condition = policy.terms.condition
    asked = [
        (name, "minimum_events", each.minimum_events, each.over)
        for name, each in (("ratio", condition.ratio), ("quantile", condition.quantile))
        if each
    ]
    if (count := condition.count) and not count.is_lower_bound:
        asked.append(("count", count.word, count.limit, count.over))
    for name, key, events, over in asked:
        if events > over * _MOST_PER_SECOND:
            message = f"{format_number(events)} events in {format_duration(over)} never happen"
            yield Finding(("condition", name, key), message, "lower it, or widen the window")
