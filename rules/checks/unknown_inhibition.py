"""Cause and symptom exist, and both have the labels in which they must agree."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find inhibitions and silences by nothing, by itself, or by labels that one side lacks."""
    for name, equal in policy.terms.inhibits.items():
        yield from _check(policy, "inhibits", name, equal, facts)
    for name, cause in policy.terms.quiet_after.items():
        yield from _check(policy, "quiet_after", name, cause.equal, facts)


def _check(policy: Policy, field: str, name: str, equal: tuple[str, ...], facts: Facts) -> Iterator[Finding]:
    other = facts.pack.get(name)
    if other is None or name == policy.name:
        part = "symptom" if field == "inhibits" else "cause"
        yield Finding((field, name), f"no other policy {name}", f"name the policy of the {part}")
        return
    for label in equal:
        for side in (policy, other):
            if facts.is_promql(side) and label not in facts.result_labels(side):
                yield Finding((field, name), f"{side.alert} has no label {label}", "agree in labels both have")
