"""Who an alert reaches, worked out from the routes without Alertmanager, and where that is not who its policy names."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

from alertmanager.desk_routing import DESK
from alertmanager.hours import is_ever_heard
from alertmanager.matchers import Matcher
from alertmanager.own_config import OwnConfig, Route
from contract.config import Finding, Problem
from contract.vocabulary import Severity
from rules import matching, pack, promql
from rules.facts import Facts
from rules.known_metrics import Series
from rules.policy import Policy

OTHER = "something-else"
"""Stands for every value of a label that no route names."""
MUTED = " (always muted)"
"""Follows the name of a receiver that a route leads to and never tells."""


def receivers(route: Route, labels: Mapping[str, str]) -> list[str]:
    """Return the receivers of an alert in the order of the routes."""
    return [name for name, _ in _leaves(route, labels, "")]


def _leaves(route: Route, labels: Mapping[str, str], above: str) -> list[tuple[str, Route]]:
    """Return the routes that an alert ends in, with their receivers; one is its own end where no child takes it."""
    name = route.receiver or above
    found: list[tuple[str, Route]] = []
    for child in route.routes:
        if all(matcher.holds(labels) for matcher in child.wants()):
            found += _leaves(child, labels, name)
            if not child.goes_on:
                break
    return found or [(name, route)]


class Alert(NamedTuple):
    """What is known of the labels of an alert."""

    labels: Mapping[str, str]
    """Those that always have one value."""
    open: Mapping[str, tuple[str, ...]]
    """Those that are there with one of these values, or with any."""

    def with_labels(self, **labels: str) -> "Alert":
        """Return the alert with more labels of one value."""
        return Alert({**self.labels, **labels}, {key: each for key, each in self.open.items() if key not in labels})

    def plain(self) -> dict[str, str]:
        """Return labels that no route is made for."""
        return {**{label: (values or (OTHER,))[0] for label, values in self.open.items()}, **self.labels}

    def example(self, wanted: Iterable[Matcher]) -> dict[str, str] | None:
        """Return labels with which the alert satisfies matchers; None where it cannot, or no pattern gives one away."""
        found, asked = self.plain(), list(wanted)
        for label in {matcher.label for matcher in asked}:
            mine = [matcher for matcher in asked if matcher.label == label]
            possible = self.open[label] or (OTHER, *_named(mine)) if label in self.open else (found.get(label, ""),)
            fitting = [value for value in possible if all(matcher.holds({label: value}) for matcher in mine)]
            if not fitting:
                return None
            found[label] = fitting[0]
        return found


def _named(matchers: Iterable[Matcher]) -> Iterator[str]:
    """Yield the values that matchers name; of a pattern, what it becomes when each `.*` is a letter."""
    for matcher in matchers:
        if "~" not in matcher.operator:
            yield matcher.value
        else:
            yield from (re.sub(r"\.[*+?]?", "x", part).replace("\\", "") for part in re.split("[|()]", matcher.value))


def alert_of(policy: Policy, facts: Facts) -> Alert:
    """Return what is known of the labels that the alerts of a policy have."""
    fixed = {**policy.labels(), "alertname": policy.alert}
    if not facts.is_promql(policy):
        return Alert(fixed, {})
    tree = facts.tree(policy)
    pinned = matching.pinned(tree, facts.labels_of)
    fixed = {**{label: value for label, value in pinned.items() if value}, **fixed}
    metrics = [known for use in promql.uses(tree) if (known := facts.metrics.get(use.metric))]
    has = sorted(facts.result_labels(policy) - fixed.keys())
    return Alert(fixed, {label: _closed([each for each in metrics if label in each.labels], label) for label in has})


def _closed(metrics: Iterable[Series], label: str) -> tuple[str, ...]:
    """Return every value of a label where they are known for all metrics that have it."""
    values = [each.values.get(label, ()) for each in metrics]
    return tuple(dict.fromkeys(value for group in values for value in group)) if all(values) else ()


@dataclass(frozen=True)
class Tree:
    """The routes of a configuration, and which of them are ever heard."""

    config: OwnConfig

    def told(self, labels: Mapping[str, str]) -> list[str]:
        """Return the receivers that an alert is led to, those marked as MUTED that never hear of it."""
        leaves = _leaves(self.config.route, labels, "")
        return [name if self._is_heard(route) else f"{name}{MUTED}" for name, route in leaves]

    def examples(self, alert: Alert) -> list[dict[str, str]]:
        """Return labels of the alert that make a difference to the routes, the plainest first."""
        paths = [wanted for wanted in self._paths if any(matcher.label in alert.open for matcher in wanted)]
        single = [[Matcher(label, "=", value)] for label, value in self._values if label in alert.open]
        found = [alert.plain(), *(each for wanted in (*paths, *single) if (each := alert.example(wanted)) is not None)]
        return [example for index, example in enumerate(found) if example not in found[:index]]

    def reaches_somebody(self, name: str) -> bool:
        """Whether a receiver carries messages; one that is not defined is none that is meant to be silent."""
        receiver = self.config.receiver(name)
        return receiver is None or receiver.tells_somebody

    @cached_property
    def _paths(self) -> list[list[Matcher]]:
        """What an alert must satisfy to get to each route."""
        return [[matcher for route in path[1:] for matcher in route.wants()] for path in self.config.walk()]

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        """Every value that a matcher names, those that it leaves out included."""
        every = [matcher for path in self._paths for matcher in path]
        named = [(matcher.label, value) for matcher in every for value in _named([matcher]) if value]
        return [*dict.fromkeys(named)]

    @cached_property
    def _heard(self) -> dict[tuple[tuple[str, ...], tuple[str, ...]], bool]:
        return {}

    def _is_heard(self, route: Route) -> bool:
        key = route.mute_time_intervals, route.active_time_intervals
        if key not in self._heard:
            known = self.config.intervals()
            muted, active = ([known[name] for name in names if name in known] for names in key)
            self._heard[key] = is_ever_heard(muted, active, datetime.now(UTC))
        return self._heard[key]


def problems(tree: Tree, facts: Facts) -> Iterator[Problem]:
    """Yield every policy whose alert does not reach exactly its channels, whatever its severity and other labels."""
    for policy in facts.pack:
        found = next(_astray(tree, alert_of(policy, facts), policy.terms.channels), None)
        if found:
            yield pack.problem(policy, Finding(("channels",), f"{policy.alert} {found[0]}", found[1]))


def _astray(tree: Tree, alert: Alert, channels: Iterable[str]) -> Iterator[tuple[str, str]]:
    for severity in Severity:
        yield from astray(tree, alert.with_labels(severity=severity.value), channels, {DESK, f"{DESK}{MUTED}"})


def astray(tree: Tree, alert: Alert, channels: Iterable[str], apart: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield what is wrong and how to mend it for labels with which an alert does not reach exactly its channels.

    Whether receivers that are `apart` are told too is another question.
    """
    wanted, plain = sorted(channels), alert.plain()
    for labels in tree.examples(alert):
        reached = [name for name in tree.told(labels) if name not in apart]
        told = sorted(name for name in reached if name in wanted or tree.reaches_somebody(name))
        if told != wanted:
            special = [f"{label} {labels[label]}" for label in sorted(alert.open) if labels[label] != plain[label]]
            who = " and ".join((f"of severity {labels['severity']}", *special))
            is_muted = any(name.endswith(MUTED) for name in reached)
            hint = "unmute their routes" if is_muted else "does a route before theirs lack `continue: true`?"
            mend = f"it must reach {', '.join(wanted) or 'nobody'}: {hint}"
            yield f"{who} reaches {', '.join(reached) or 'nobody'}", mend
