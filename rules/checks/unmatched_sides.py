"""The two sides of an operator can meet: series do that have the same labels, with the same values."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import labels, matching, promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find operators between series that have nothing in common."""
    for node, _above in promql.walk(facts.tree(policy)):
        if matching.joins(node) and str(node.op).lower() != "or" and _are_labels_sure(node, facts):
            yield from _compare(node, facts)


def _are_labels_sure(node: Any, facts: Facts) -> bool:
    """Whether all series of a side have the same labels: not so after `or`, and label_replace can take one away."""
    below = [each for each, _ in promql.walk(node)]
    is_mixed = any(isinstance(each, promql.BinaryExpr) and str(each.op).lower() == "or" for each in below)
    is_made = any(promql.name_of(each) in ("label_replace", "label_join") for each in below)
    return not is_mixed and not is_made and all(use.metric in facts.metrics for use in promql.uses(node))


def _compare(node: Any, facts: Facts) -> Iterator[Finding]:
    pinned = [matching.pinned(side, facts.labels_of) for side in (node.lhs, node.rhs)]
    left, right = (
        labels.of(side, facts.labels_of) - {label for label, value in values.items() if not value}
        for side, values in zip((node.lhs, node.rhs), pinned, strict=True)
    )
    compared = matching.compared(node, left | right)
    lacking = sorted(label for label in compared if label not in left & right)
    if lacking:
        message = f"the two sides of `{str(node.op).lower()}` do not both have {', '.join(lacking)}"
        yield Finding(("condition",), message, "aggregate both sides by the same labels, or name common ones: on (…)")
    for label in sorted(compared & left & right):
        values = [each[label] for each in pinned if label in each]
        if len(set(values)) > 1:
            message = f"{label} is {values[0]} on one side of `{str(node.op).lower()}` and {values[1]} on the other"
            yield Finding(("condition",), message, "aggregate the label away, or leave it out: ignoring (…)")
