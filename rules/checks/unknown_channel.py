"""Every channel is one that somebody receives."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find channels that the receivers file does not define."""
    for index, channel in enumerate(policy.terms.channels):
        if channel not in facts.channels:
            mend = f"define it among the receivers, or use one of {', '.join(sorted(facts.channels))}"
            yield Finding(("channels", index), f"unknown channel {channel}", mend)
