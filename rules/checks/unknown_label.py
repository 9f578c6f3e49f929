"""Every label that is matched or grouped by exists on its metric."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import labels, promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find labels that the metric does not have, in selectors and in groupings."""
    tree = facts.tree(policy)
    yield from _in_selectors(tree, facts)
    yield from _in_groupings(tree, facts)


def _in_selectors(tree: Any, facts: Facts) -> Iterator[Finding]:
    for use in promql.uses(tree):
        has = facts.labels_of(use.metric)
        for matcher in use.matchers if has else ():
            if matcher.label not in has:
                yield _finding(matcher.label, use.metric, has)


def _in_groupings(tree: Any, facts: Facts) -> Iterator[Finding]:
    for node, _above in promql.walk(tree):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            below = labels.of(node.expr, facts.labels_of)
            for label in node.modifier.labels if below else ():
                if label not in below:
                    yield _finding(label, "what is grouped", below)


def _finding(label: str, whose: str, has: frozenset[str]) -> Finding:
    return Finding(("condition",), f"{whose} has no label {label}", f"it has {', '.join(sorted(has))}")
