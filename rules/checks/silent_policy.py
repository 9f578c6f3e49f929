"""Whatever is worse than information reaches somebody, and what is critical is followed up."""

from collections.abc import Iterator

from contract.config import Finding
from contract.vocabulary import Escalation, Severity
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, _facts: Facts) -> Iterator[Finding]:
    """Find alerts that nobody hears, critical ones that nobody follows up, and channels named twice."""
    terms = policy.terms
    if not terms.channels and terms.severity is not Severity.INFO:
        yield Finding(("channels",), f"a {terms.severity} alert that reaches nobody", "name a channel, or make it info")
    if terms.severity is Severity.CRITICAL and terms.escalation is Escalation.NONE:
        yield Finding(("escalation",), "a critical alert that nobody follows up", "use immediate or standard")
    if len(set(terms.channels)) != len(terms.channels):
        yield Finding(("channels",), "a channel is named twice", "name it once")
