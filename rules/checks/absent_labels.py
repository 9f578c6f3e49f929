"""absent() tells of a whole metric or job, and wakes nobody up by guessing: labels of single things come and go."""

from collections.abc import Iterator

from contract.config import Finding
from contract.vocabulary import Severity
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find absent() of labelled series, and critical alerts that are nothing but absent()."""
    tree = facts.tree(policy)
    for use in promql.uses(tree):
        strange = [matcher.label for matcher in use.matchers if matcher.label != "job"]
        if "absent" in use.inside and strange:
            message = f"absent() of {use.metric} by {', '.join(strange)}: it says nothing while another series is there"
            yield Finding(("condition",), message, "compare with what is expected, or match by job only")
    asked = list(promql.uses(tree))
    if policy.terms.severity is Severity.CRITICAL and asked and all("absent" in use.inside for use in asked):
        yield Finding(("severity",), "a critical alert on absence alone", "a missing scrape is no outage; use major")
