"""Routes of the incident desk: what it is told, and how what it escalates reaches exactly the channels of a stage."""

from collections.abc import Iterator
from typing import Any

from alertmanager.pace import Hours, by_severity, common_hours, none_of, one_of
from alertmanager.receivers import Receivers
from rules import conventions, escalation
from rules.escalation import Escalations
from rules.pack import Pack
from rules.policy import Policy

DESK = "incident-desk"
"""The receiver that keeps the history; no channel can have this name, as theirs have no hyphen."""


def escalation_route(receivers: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the route of the desk's own alerts; escalated alerts of one policy travel in one message.

    A stage that is not known here, because only the desk has read a change, goes to the fallback channel.
    """
    named = {
        (word, channel): [stage.name for stage in stages if channel in stage.channels]
        for word, stages in escalations.escalations.items()
        for channel in receivers.channels
    }
    return {
        "receiver": receivers.fallback,
        "matchers": [f'alertname="{escalation.ALERT}"'],
        "group_by": [*conventions.GROUPING, "alert", "escalation", "stage"],
        "routes": [
            {
                "receiver": channel,
                "matchers": [f'escalation="{word.value}"', f'stage=~"{"|".join(stages)}"'],
                "continue": True,
                "routes": by_severity(receivers, common_hours([receivers.channels[channel]])),
            }
            for (word, channel), stages in named.items()
            if stages
        ],
    }


def desk_routes(pack: Pack, receivers: Receivers) -> Iterator[dict[str, Any]]:
    """Yield the route by which the desk is told when people are, and one that keeps the fallback as it is.

    Alertmanager sends an alert by the root only when nothing below takes it; the desk takes everything.
    """
    silent = [policy.alert for policy in pack if not policy.terms.channels]
    hours = _hours(pack, receivers)
    yield {
        "receiver": DESK,
        "matchers": [none_of(silent)] if silent else [],
        "continue": True,
        "routes": [
            *(
                {"matchers": [one_of(policies)], "routes": by_severity(receivers, common)}
                for common, policies in hours.items()
                if common != Hours()
            ),
            *by_severity(receivers, Hours()),
        ],
    }
    yield {"receiver": receivers.fallback, "matchers": [none_of(policy.alert for policy in pack)]}


def _hours(pack: Pack, receivers: Receivers) -> dict[Hours, list[Policy]]:
    """Return the policies by when all their channels are silent: what nobody is told of must not escalate."""
    found: dict[Hours, list[Policy]] = {}
    for policy in pack:
        channels = [receivers.channels[name] for name in policy.terms.channels]
        found.setdefault(common_hours(channels), []).append(policy)
    return found
