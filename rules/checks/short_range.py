"""A range holds at least four scrapes; with fewer, one lost scrape empties it."""

from collections.abc import Iterator

from contract.config import Finding
from contract.fields import format_duration
from rules import promql
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find ranges that are too short for how often the metric is scraped."""
    for use in promql.uses(facts.tree(policy)):
        wanted = 4 * facts.scrape_interval(use.metric)
        if use.range_seconds is not None and use.range_seconds < wanted:
            given = format_duration(use.range_seconds)
            yield Finding(
                ("condition",),
                f"[{given}] of {use.metric} holds too few scrapes",
                f"use at least {format_duration(wanted)}",
            )
