"""Routes of the incident desk: what it is told, and how what it escalates reaches exactly the channels of a stage."""

from typing import Any

from alertmanager.pace import by_severity, common_hours
from alertmanager.receivers import Receivers
from rules import conventions, escalation
from rules.escalation import Escalations

DESK = "incident-desk"
"""The receiver that keeps the history; no channel can have this name, as theirs have no hyphen."""


def escalation_route(receivers: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the route of the desk's own alerts; escalated alerts of one policy travel in one message.

    A stage that is not known here, because only the desk has read a change, goes to the fallback channel.
    """
    return {
        "receiver": receivers.fallback,
        "matchers": [f'alertname="{escalation.ALERT}"'],
        "group_by": [*conventions.GROUPING, "alert", "escalation", "stage"],
        "routes": [
            {
                "matchers": [f'escalation="{word.value}"', f'stage="{stage.name}"'],
                "routes": [
                    {
                        "receiver": name,
                        "continue": True,
                        "routes": by_severity(receivers, common_hours([channel])),
                    }
                    for name, channel in receivers.channels.items()
                    if name in stage.channels
                ],
            }
            for word, stages in escalations.escalations.items()
            for stage in stages
        ],
    }
