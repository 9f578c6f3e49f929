"""Routes and inhibitions: each alert reaches exactly the union of its channels, at the pace of its severity."""

from collections.abc import Iterable, Iterator
from typing import Any

from alertmanager.desk_routing import desk_routes, escalation_route
from alertmanager.pace import NOBODY, by_severity, common_hours, one_of, pace
from alertmanager.receivers import Interval, Receivers
from contract.vocabulary import Severity
from rules import conventions
from rules.escalation import Escalations
from rules.pack import Pack
from rules.policy import Policy


def route(pack: Pack, receivers: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the tree of routes.

    A route a channel, each with `continue`, so that no channel shadows another; below it one a severity for the pace,
    and before these one for the policies that group their alerts in a way of their own.
    What matches none of them is no policy's alert and goes to the fallback channel.
    """
    silent = [policy for policy in pack if not policy.terms.channels]
    channels = [(name, [policy for policy in pack if name in policy.terms.channels]) for name in receivers.channels]
    return {
        "receiver": receivers.fallback,
        "group_by": list(conventions.GROUPING),
        **pace(receivers.timing_of(Severity.MAJOR)),
        "routes": [
            *([{"receiver": NOBODY, "matchers": [one_of(silent)]}] if silent else []),
            *([escalation_route(receivers, escalations)] if receivers.incident_desk else []),
            *(_channel_route(name, policies, receivers) for name, policies in channels if policies),
            *(desk_routes(pack, receivers) if receivers.incident_desk else []),
        ],
    }


def _channel_route(name: str, policies: Iterable[Policy], receivers: Receivers) -> dict[str, Any]:
    paced = by_severity(receivers, common_hours([receivers.channels[name]]))
    return {
        "receiver": name,
        "matchers": [one_of(policies)],
        "continue": True,
        "routes": [
            *(
                {
                    "matchers": [one_of(alike)],
                    "group_by": ["alertname", *labels],
                    "routes": paced,
                }
                for labels, alike in _groupings(policies).items()
            ),
            *paced,
        ],
    }


def _groupings(policies: Iterable[Policy]) -> dict[tuple[str, ...], list[Policy]]:
    """Return the policies that group their alerts otherwise than all the others, by how."""
    found: dict[tuple[str, ...], list[Policy]] = {}
    for policy in policies:
        if ("alertname", *policy.terms.group_by) != conventions.GROUPING:
            found.setdefault(policy.terms.group_by, []).append(policy)
    return found


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
