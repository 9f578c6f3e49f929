"""A burn rate is that of an objective that is recorded."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find burn rates of unknown objectives."""
    burn = policy.terms.condition.burn_rate
    if burn and burn.slo not in facts.objectives:
        mend = f"define it in rules/slos.yaml, or use one of {', '.join(sorted(facts.objectives))}"
        yield Finding(("condition", "burn_rate", "slo"), f"unknown objective {burn.slo}", mend)
