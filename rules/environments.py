"""Per-environment overrides: other limits, times and channels without editing the pack."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from contract.config import Finding, Model, load
from contract.fields import Duration, PositiveDuration
from contract.vocabulary import Escalation, Severity
from rules.comparison import Comparison, Number
from rules.pack import Pack
from rules.policy import Name, Policy, Terms

_OF_TERMS = ("severity", "channels", "escalation", "for_", "keep_firing_for")
_OF_CONDITION = ("over", "after", "minimum_events")


class Override(Model):
    """What differs for one policy; what is left out stays as in the pack."""

    enabled: bool = True
    severity: Severity | None = None
    channels: tuple[str, ...] | None = None
    escalation: Escalation | None = None
    for_: Duration | None = Field(None, alias="for")
    keep_firing_for: Duration | None = None
    limit: Number | None = None
    """The number that the condition compares with; the comparison stays."""
    over: PositiveDuration | None = None
    after: PositiveDuration | None = None
    minimum_events: float | None = Field(None, gt=0)


class Environment(Model):
    """One environment."""

    policies: dict[Name, Override]


def apply(pack: Pack, file: Path) -> Pack:
    """Return the pack as it is in an environment; raises ConfigError where an override fits nothing."""

    def check(read: Environment) -> Iterator[Finding]:
        for name, override in read.policies.items():
            policy = pack.get(name)
            if policy is None:
                yield Finding(("policies", name), f"no policy {name}", "see rules/policies/ for the names")
            else:
                yield from _misfits(policy, override)

    overrides = load(file, Environment, check).config.policies
    changed = (_changed(policy, overrides.get(policy.name), file) for policy in pack)
    return Pack(tuple(policy for policy in changed if policy))


def _misfits(policy: Policy, override: Override) -> Iterator[Finding]:
    condition = policy.terms.condition
    fields = type(condition.kind).model_fields
    for key in ("limit", *_OF_CONDITION):
        fits = isinstance(condition.kind, Comparison) if key == "limit" else key in fields
        if getattr(override, key) is not None and not fits:
            message = f"the condition of {policy.name} ({condition.name}) has no {key}"
            yield Finding(("policies", policy.name, key), message, "switch it off, and add a policy of your own")


def _changed(policy: Policy, override: Override | None, file: Path) -> Policy | None:
    if override is None:
        return policy
    if not override.enabled:
        return None
    kind = policy.terms.condition.kind
    inner: dict[str, Any] = _given(override, _OF_CONDITION)
    if override.limit is not None and isinstance(kind, Comparison):
        inner[kind.word] = override.limit
    condition = policy.terms.condition.model_copy(update={policy.terms.condition.name: kind.model_copy(update=inner)})
    # The cases pin the pack's own numbers, so they do not speak of a changed policy.
    update = {**_given(override, _OF_TERMS), "condition": condition, "tests": {}}
    terms: Terms = policy.terms.model_copy(update=update)
    return replace(policy, terms=terms, environment=file)


def _given(override: Override, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: getattr(override, key) for key in keys if getattr(override, key) is not None}
