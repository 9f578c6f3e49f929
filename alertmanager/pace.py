"""When a route speaks, and which alerts it takes: what the routes of channels and of the incident desk share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from alertmanager.receivers import Channel, Receivers, Timing
from contract.fields import format_duration
from contract.vocabulary import Severity

NOBODY = "nobody"
"""The receiver of alerts that must reach no person, such as the Watchdog."""


class Hours(NamedTuple):
    """When several channels are silent, all of them at once."""

    not_during: tuple[str, ...] = ()
    only_during: tuple[str, ...] = ()


def common_hours(channels: Sequence[Channel]) -> Hours:
    """Return the windows in which none of the channels speaks, and the hours in which any does."""
    if not channels:
        return Hours()
    first, *others = channels
    silent = [name for name in first.not_during if all(name in channel.not_during for channel in others)]
    has_hours = all(channel.only_during for channel in channels)
    speaking = [name for channel in channels for name in channel.only_during] if has_hours else []
    return Hours(tuple(silent), tuple(dict.fromkeys(speaking)))


def by_severity(receivers: Receivers, hours: Hours) -> list[dict[str, Any]]:
    """Return a route a severity, at its pace and in the hours of its channels."""
    return [
        {
            "matchers": [f'severity="{severity.value}"'],
            **pace(receivers.timing_of(severity)),
            **intervals(hours, severity),
        }
        for severity in Severity
    ]


def intervals(hours: Hours, severity: Severity) -> dict[str, list[str]]:
    """Return when a route speaks. Alertmanager does not hand these down to child routes, so they stand in each."""
    active = () if severity is Severity.CRITICAL else hours.only_during
    written = {"mute_time_intervals": list(hours.not_during), "active_time_intervals": list(active)}
    return {key: names for key, names in written.items() if names}


def pace(timing: Timing) -> dict[str, str]:
    """Return a timing in Alertmanager's words."""
    return {name: format_duration(seconds) for name, seconds in timing.model_dump().items()}
