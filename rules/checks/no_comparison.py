"""A condition leaves something out: a mere value is no condition, and 0 fires like 1."""

from collections.abc import Iterator

from contract.config import Finding
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find conditions that hold whatever their values are; what fires always on purpose tells no people."""
    tree = facts.tree(policy)
    if policy.terms.channels and promql.kind_of(tree) == "vector" and not promql.filters(tree):
        mend = "compare it with a limit, without bool; both sides of `or` need a comparison"
        yield Finding(("condition",), "it fires for every series, whatever its value", mend)
