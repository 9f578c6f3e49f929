"""Prometheus rules of a pack: one file and one group a concern."""

from collections.abc import Iterable
from typing import Any

from contract.fields import format_duration
from rules import conventions
from rules.links import Links
from rules.pack import Pack
from rules.policy import Policy


def alerting_rule(policy: Policy, links: Links) -> dict[str, Any]:
    """Return one alerting rule."""
    terms = policy.terms
    rule: dict[str, Any] = {"alert": policy.alert, "expr": terms.condition.expression()}
    if terms.for_:
        rule["for"] = format_duration(terms.for_)
    if terms.keep_firing_for:
        rule["keep_firing_for"] = format_duration(terms.keep_firing_for)
    rule["labels"] = policy.labels()
    rule["annotations"] = {
        "summary": terms.summary,
        "description": terms.description,
        **links.annotations(policy, conventions.label_template),
    }
    return rule


def group(concern: str, policies: Iterable[Policy], links: Links) -> dict[str, Any]:
    """Return the rule group of a concern."""
    return {
        "name": f"lookout_{concern}",
        "interval": conventions.EVALUATION_INTERVAL,
        "rules": [alerting_rule(policy, links) for policy in policies],
    }


def rule_files(pack: Pack, links: Links) -> dict[str, dict[str, Any]]:
    """Return the content of every rule file by its name."""
    return {
        f"{concern}.yaml": {"groups": [group(concern, policies, links)]}
        for concern, policies in pack.concerns().items()
    }
