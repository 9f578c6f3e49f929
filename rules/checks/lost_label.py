"""Texts and links use only labels that the alert still has; others print as nothing."""

import re
from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy

_LABEL = re.compile(r"\$labels\.(\w+)")


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find labels that aggregation has taken away."""
    has = facts.result_labels(policy)
    for text in ("summary", "description"):
        for label in dict.fromkeys(_LABEL.findall(getattr(policy.terms, text))):
            if label not in has:
                yield Finding((text,), f"the alert has no label {label}", f"it has {', '.join(sorted(has))}")
    for index, label in enumerate(policy.terms.dashboard.labels):
        if label not in has:
            yield Finding(
                ("dashboard", "labels", index), f"the alert has no label {label}", "group the condition by it"
            )
    for index, label in enumerate(policy.terms.group_by if "group_by" in policy.terms.model_fields_set else ()):
        if label not in has:
            yield Finding(("group_by", index), f"the alert has no label {label}", f"it has {', '.join(sorted(has))}")
