"""A burst leaves its window before a long `for` is over: such an alert never fires."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from contract.fields import format_duration
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find counted bursts whose `for` is as long as their window, or longer."""
    counted = policy.terms.condition.count
    windows = [counted.over] if counted else []
    for comparison in promql.comparisons(_asserted(facts.tree(policy))) if policy.terms.condition.raw else ():
        if isinstance(comparison.value, promql.Call | promql.AggregateExpr):
            windows += [
                use.range_seconds
                for use in promql.uses(comparison.value)
                if use.range_seconds and use.function == "increase"
            ]
    if windows and policy.terms.for_ >= min(windows):
        window = format_duration(min(windows))
        message = f"what is counted in {window} is gone before {format_duration(policy.terms.for_)} are over"
        yield Finding(("for",), message, "leave `for` out, or make it shorter than the window")


def _asserted(node: Any) -> Any:
    """Return what must hold; after `unless` stands what must not."""
    while isinstance(node, promql.BinaryExpr) and str(node.op).lower() == "unless":
        node = node.lhs
    return node
