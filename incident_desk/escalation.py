"""Which stage of escalation comes next, and the alert that tells of it. Pure: incident, policy and time decide."""

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

from incident_desk.incident import Begun, Incident
from rules.escalation import ALERT, Stage

LIVES_SECONDS = 600.0
"""How long Alertmanager keeps an escalation without hearing of it again; the desk says it anew every round."""
_LINKS = ("runbook_url", "dashboard_url")


class Due(NamedTuple):
    """The next stage and when it begins."""

    stage: Stage
    at: float


def next_due(incident: Incident, stages: Sequence[Stage]) -> Due | None:
    """Return the next stage; None when nobody is waited for or all stages have begun.

    A stage gives the one before it its time, also when both are overdue because the desk was down.
    """
    if not incident.waits:
        return None
    begun = {each.stage: each.waited for each in current(incident)}
    earliest = 0.0
    for stage in stages:
        if stage.name not in begun:
            return Due(stage, incident.clock + incident.paused + stage.after + max(earliest, 0.0))
        earliest = begun[stage.name] - stage.after
    return None


def current(incident: Incident) -> tuple[Begun, ...]:
    """Return the stages begun since escalation counts."""
    return tuple(each for each in incident.stages if each.at >= incident.clock)


def is_due(incident: Incident, begun: Begun) -> bool:
    """Whether a stage that has begun is still to be told."""
    return incident.waits and begun in current(incident)


def alert(incident: Incident, begun: Begun, public_url: str, now: float) -> dict[str, Any]:
    """Return the alert that Alertmanager's routes carry to the stage's channels, or its end when it is over."""
    labels = {name: value for name, value in incident.labels.items() if name != "alertname"}
    ends = now + LIVES_SECONDS if is_due(incident, begun) else now
    summary = incident.annotations.get("summary") or incident.name
    return {
        "labels": {
            **labels,
            "alertname": ALERT,
            "alert": incident.name,
            "stage": begun.stage,
            "escalation": incident.escalation,
            "severity": incident.severity.value,
            "incident": str(incident.id),
        },
        "annotations": {
            "summary": f"Nobody has acknowledged for {_span(begun.waited)}: {summary}",
            "description": _description(incident, begun),
            "acknowledge_url": f"{public_url.rstrip('/')}/acknowledge",
            **{name: incident.annotations[name] for name in _LINKS if name in incident.annotations},
        },
        "startsAt": _moment(begun.at),
        "endsAt": _moment(max(ends, begun.at)),
    }


def _description(incident: Incident, begun: Begun) -> str:
    lines = [incident.annotations.get("description", "").strip()]
    lines.append(f"{incident.name}: alert since {_clock(incident.fired)}.")
    if incident.returns:
        began = f"It began at {_clock(incident.started)} and has ended and come back since"
        lines.append(f"{began}; the time in between does not count.")
    if incident.told:
        when = "before the incident desk was there" if incident.is_found else f"at {_clock(incident.opened)}"
        lines.append(f"Told {when}: {', '.join(incident.told)}.")
    reached = [each for each in current(incident) if each.at <= begun.at]
    lines += [f"Told at {_clock(each.at)}, stage {each.stage}: {', '.join(each.channels)}." for each in reached]
    if incident.acknowledged is not None:
        lines.append(f"Acknowledged at {_clock(incident.acknowledged)} by {incident.acknowledged_by}.")
    return "\n".join(line for line in lines if line)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{round(seconds)} s"


def _clock(moment: float) -> str:
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%H:%M:%S} UTC"


def _moment(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()
