"""Routes of the incident desk: what it is told, and how what it escalates reaches exactly the channels of a stage."""

from collections.abc import Iterable, Iterator
from typing import Any

from alertmanager.pace import by_severity, common_hours
from alertmanager.receivers import Receivers
from contract.vocabulary import Escalation
from rules import conventions, escalation
from rules.escalation import Escalations, Stage
from rules.pack import Pack

DESK = "incident-desk"
"""The receiver that keeps the history; no channel can have this name, as theirs have no hyphen."""


def escalation_route(pack: Pack, receivers: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the route of the desk's own alerts; what travelled in one message is escalated in one.

    A stage that is not known here, because only the desk has read a change, goes to the fallback channel.
    """
    return {
        "receiver": receivers.fallback,
        "matchers": [f'alertname="{escalation.ALERT}"'],
        "group_by": _grouped_by(conventions.GROUPING[1:]),
        "routes": [
            {
                "matchers": [f'escalation="{word.value}"', f'stage="{stage.name}"'],
                "routes": [*_own_groups(pack, receivers, word, stage), *_channels(receivers, stage)],
            }
            for word, stages in escalations.escalations.items()
            for stage in stages
        ],
    }


def _own_groups(pack: Pack, receivers: Receivers, word: Escalation, stage: Stage) -> Iterator[dict[str, Any]]:
    """Yield the routes of escalations whose policies group their alerts in a way of their own."""
    for policy in pack:
        labels = policy.terms.group_by
        if policy.terms.escalation is word and labels != conventions.GROUPING[1:]:
            matchers, channels = [f'alert="{policy.alert}"'], _channels(receivers, stage)
            yield {"matchers": matchers, "group_by": _grouped_by(labels), "routes": channels}


def _channels(receivers: Receivers, stage: Stage) -> list[dict[str, Any]]:
    return [
        {"receiver": name, "continue": True, "routes": by_severity(receivers, common_hours([channel]))}
        for name, channel in receivers.channels.items()
        if name in stage.channels
    ]


def _grouped_by(labels: Iterable[str]) -> list[str]:
    """Return by what escalations are grouped whose alerts are grouped by these labels."""
    return ["alertname", *labels, "alert", "escalation", "stage"]
