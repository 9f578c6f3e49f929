"""Whoever is woken up finds a page that says what to do."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find policies without a runbook page."""
    if policy.name not in facts.runbooks:
        mend = f"write docs/runbooks/{policy.name}.md: meaning, impact, diagnosis, mitigation, escalation"
        yield Finding((), "no runbook page", mend)
