"""What an alert holds back exists, and both have the labels in which they must agree."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find inhibitions of nothing, of itself, or by labels that one side lacks."""
    for name, equal in policy.terms.inhibits.items():
        symptom = facts.pack.get(name)
        if symptom is None or name == policy.name:
            yield Finding(("inhibits", name), f"no other policy {name}", "name the policy of the symptom")
            continue
        for label in equal:
            for side in (policy, symptom):
                if label not in facts.result_labels(side):
                    yield Finding(("inhibits", name), f"{side.alert} has no label {label}", "agree in labels both have")
