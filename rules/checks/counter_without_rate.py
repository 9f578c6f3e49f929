"""A counter only grows: compared as it stands, the alert never ends."""

from collections.abc import Iterator

from contract.config import Finding
from contract.metric import Kind
from rules import promql
from rules.facts import Facts
from rules.policy import Policy

_GOOD = frozenset({"rate", "irate", "increase", "resets", "changes", "absent", "absent_over_time", "timestamp"})


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find counters that are not under rate() or increase()."""
    for use in promql.uses(facts.tree(policy)):
        known = facts.metrics.get(use.metric)
        if known and known.kind is Kind.COUNTER and not _GOOD & set(use.inside):
            mend = f"ask for increase({use.metric}[5m]) or rate({use.metric}[5m])"
            yield Finding(("condition",), f"{use.metric} counts since the start of the service", mend)
