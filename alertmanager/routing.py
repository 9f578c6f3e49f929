"""Routes and inhibitions: each alert reaches exactly the union of its channels, at the pace of its severity."""

from collections.abc import Iterator
from typing import Any

from alertmanager.desk_routing import DESK, escalation_route
from alertmanager.pace import NOBODY, Hours, by_severity, common_hours, intervals, pace
from alertmanager.receivers import Interval, Receivers
from contract.vocabulary import Severity
from rules import conventions
from rules.escalation import Escalations
from rules.pack import Pack
from rules.policy import Policy


def route(pack: Pack, receivers: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the tree of routes: one a policy, and below it one a channel, each of which lets the next have the alert.

    Alertmanager knows a group again by the matchers on the way to it. Each names one policy and nothing else, so that a
    change of one policy tells nobody again of the others, and leaves no incident of theirs open.
    """
    return {
        "receiver": receivers.fallback,
        "group_by": list(conventions.GROUPING),
        **pace(receivers.timing_of(Severity.MAJOR)),
        "routes": [
            *([escalation_route(pack, receivers, escalations)] if receivers.incident_desk else []),
            *(_policy_route(policy, receivers) for policy in pack),
            *_others(receivers),
        ],
    }


def _policy_route(policy: Policy, receivers: Receivers) -> dict[str, Any]:
    """Return the route of a policy; the desk hears in the same moment as people do."""
    matchers, terms = [f'alertname="{policy.alert}"'], policy.terms
    if not terms.channels:
        return {"receiver": NOBODY, "matchers": matchers}
    named = {name: [channel] for name, channel in receivers.channels.items() if name in terms.channels}
    if receivers.incident_desk:
        # What nobody is told of must not escalate.
        named[DESK] = [channel for [channel] in named.values()]
    grouping = ("alertname", *terms.group_by)
    return {
        "matchers": matchers,
        **({"group_by": list(grouping)} if grouping != conventions.GROUPING else {}),
        **pace(receivers.timing_of(terms.severity)),
        "routes": [
            {"receiver": name, "continue": True, **intervals(common_hours(channels), terms.severity)}
            for name, channels in named.items()
        ],
    }


def _others(receivers: Receivers) -> Iterator[dict[str, Any]]:
    """Yield the routes of what is no policy's alert."""
    for name in (receivers.fallback, *([DESK] if receivers.incident_desk else [])):
        yield {"receiver": name, "continue": True, "routes": by_severity(receivers, Hours())}


def time_intervals(receivers: Receivers) -> list[dict[str, Any]]:
    """Return the named intervals in Alertmanager's words."""
    return [
        {"name": name, "time_intervals": [_interval(part) for part in parts]}
        for name, parts in receivers.intervals.items()
    ]


def _interval(part: Interval) -> dict[str, Any]:
    spans = [text.split("-") for text in part.times]
    written: dict[str, Any] = {"times": [{"start_time": start, "end_time": end} for start, end in spans]}
    written |= {key: list(getattr(part, key)) for key in ("weekdays", "days_of_month", "months", "years")}
    return {**{key: values for key, values in written.items() if values}, "location": part.location}


def inhibitions(pack: Pack) -> Iterator[dict[str, Any]]:
    """Yield the rules by which a cause silences its symptoms.

    Alertmanager takes a label that both sides lack for equal, so both sides must have it.
    """
    for policy in pack:
        for symptom, equal in policy.terms.inhibits.items():
            if pack.get(symptom) is None:  # An environment may have switched it off.
                continue
            present = [f'{label}!=""' for label in equal]
            yield {
                "source_matchers": [f'alertname="{policy.alert}"', *present],
                "target_matchers": [f'alertname="{conventions.alert_name(symptom)}"', *present],
                "equal": list(equal),
            }
