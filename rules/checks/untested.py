"""No alert without cases: it has been seen to fire, to stay silent and to resolve."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, _facts: Facts) -> Iterator[Finding]:
    """Find policies whose cases leave something unseen."""
    cases = policy.terms.tests.values()
    for key, what in (("fires_at", "fires"), ("silent_at", "stays silent"), ("resolved_at", "resolves")):
        if not any(getattr(case, key) for case in cases):
            yield Finding(("tests",), f"no case shows that it {what}", f"add a case with {key}")
