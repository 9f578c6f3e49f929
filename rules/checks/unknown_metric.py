"""Every metric exists: a misspelt one never fires."""

from collections.abc import Iterator
from difflib import get_close_matches

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find metrics that nobody emits or records."""
    for name in dict.fromkeys(use.metric for use in promql.uses(facts.tree(policy))):
        if name not in facts.metrics:
            near = get_close_matches(name, facts.metrics, n=1)
            mend = f"did you mean {near[0]}?" if near else "add it to rules/metrics.yaml if another program emits it"
            yield Finding(("condition",), f"unknown metric {name or 'without a name'}", mend)
