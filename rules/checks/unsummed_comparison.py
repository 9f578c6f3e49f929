"""What is spread over labels is summed first and compared then: eleven failures for eleven reasons are eleven."""

from collections.abc import Iterator
from typing import Any

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.known_metrics import TARGET_LABELS
from rules.policy import Policy

_BARE = (promql.Call, promql.VectorSelector, promql.ParenExpr)


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find counts of single series that are compared although the metric splits them over labels."""
    for comparison in promql.comparisons(facts.tree(policy)):
        for use in promql.uses(comparison.value):
            if use.function in ("rate", "increase") and not _is_aggregated(use):
                split = _split(use, facts)
                if split:
                    message = f"each series of {use.metric} is compared by itself, split over {', '.join(split)}"
                    yield Finding(("condition",), message, "aggregate first: sum by (…) (…), then compare")


def _is_aggregated(use: promql.Use) -> bool:
    return any(name in ("sum", "avg", "max", "min", "count", "topk", "quantile") for name in use.inside)


def _split(use: Any, facts: Facts) -> list[str]:
    pinned = {matcher.label for matcher in use.matchers if matcher.operator == "="}
    return sorted(facts.labels_of(use.metric) - TARGET_LABELS - pinned)
