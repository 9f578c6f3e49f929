"""Prometheus rules of a pack: one file and one group a policy."""

from typing import Any

from contract.fields import format_duration
from rules import conventions
from rules.links import Links
from rules.pack import Pack
from rules.policy import Policy


def alerting_rule(policy: Policy, links: Links) -> dict[str, Any]:
    """Return one alerting rule."""
    terms = policy.terms
    rule: dict[str, Any] = {"alert": policy.alert, "expr": terms.expression()}
    if terms.for_:
        rule["for"] = format_duration(terms.for_)
    if terms.keep_firing_for:
        rule["keep_firing_for"] = format_duration(terms.keep_firing_for)
    rule["labels"] = policy.labels()
    rule["annotations"] = {
        "summary": terms.summary,
        "description": terms.description,
        **policy.annotations(),
        **links.annotations(policy, conventions.label_template),
    }
    return rule


def group(policy: Policy, links: Links) -> dict[str, Any]:
    """Return the rule group of a policy."""
    return {
        "name": f"lookout_{policy.name}",
        "interval": conventions.EVALUATION_INTERVAL,
        "rules": [alerting_rule(policy, links)],
    }


def rule_files(pack: Pack, links: Links) -> dict[str, dict[str, Any]]:
    """Return the content of every rule file by its name.

    One a policy: Prometheus spreads groups over the interval, and a unit test evaluates the one rule that it is about.
    """
    return {f"{policy.name}.yaml": {"groups": [group(policy, links)]} for policy in pack}
