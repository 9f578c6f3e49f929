"""A condition gives series with one value each; a number, a text or a range is none, and no alert comes of it."""

from collections.abc import Iterator

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find conditions that are scalars, strings or ranges."""
    kind = promql.kind_of(facts.tree(policy))
    if kind != "vector":
        what = {"scalar": "a number", "string": "a text", "matrix": "a range of values"}[kind]
        mend = "aggregate over time: max_over_time(…)" if kind == "matrix" else "compare the value of a metric"
        yield Finding(("condition",), f"it gives {what}, not series with a value each", mend)
