"""What pages and JSON tell of incidents: plain values from incidents, policies and the time."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from incident_desk import escalation
from incident_desk.incident import Incident
from rules.escalation import ALERT, Escalations

_HIDDEN = ("alertname", "severity", "component", "escalation", "job", "instance")
_PLACES = ("agent", "workflow", "agent_type", "instance", "service", "job", "integration")


def matching(incidents: Iterable[Incident], query: Mapping[str, str]) -> list[Incident]:
    """Return the incidents that a link asks for: one by `incident`, or those with all labels of a group.

    A message about an escalation names the group of the escalation; its `alert` is the one that is meant.
    """
    wanted = dict(query)
    identity = wanted.pop("incident", None)
    if wanted.get("alertname") == ALERT:
        wanted = {**wanted, "alertname": wanted.get("alert", "")}
        for name in ("alert", "stage"):
            wanted.pop(name, None)
    return [
        incident
        for incident in incidents
        if (identity is None or str(incident.id) == identity)
        and all(incident.labels.get(name, "") == value for name, value in wanted.items())
    ]


def row(incident: Incident, escalations: Escalations, now: float) -> dict[str, Any]:
    """Return what a page shows of an incident."""
    due = escalation.next_due(incident, escalations.stages(incident.escalation))
    annotations, labels = incident.annotations, incident.labels
    links = {"Runbook": annotations.get("runbook_url", ""), "Dashboard": annotations.get("dashboard_url", "")}
    return {
        "incident": incident,
        "age": max(now - incident.fired, 0.0),
        "lasted": incident.lasted(now),
        "fired_for": incident.fired_for(now),
        "place": place(incident),
        "summary": annotations.get("summary", incident.name),
        "description": annotations.get("description", ""),
        "labels": [(name, value) for name, value in labels.items() if name not in _HIDDEN],
        "links": {name: url for name, url in links.items() if url.startswith(("http://", "https://"))},
        "next": due.stage if due else None,
        "next_in": max(due.at - now, 0.0) if due else None,
    }


class Untaken(NamedTuple):
    """Why incidents could not be taken on, and the status that says so when none could."""

    problems: list[str]
    status: int


def untaken(incidents: Mapping[int, Incident | None]) -> Untaken:
    """Return why nobody can take these on: not known, ended, or somebody has already."""
    problems = [_untaken(identity, incident) for identity, incident in incidents.items()]
    return Untaken(problems, 404 if None in incidents.values() else 409)


def _untaken(identity: int, incident: Incident | None) -> str:
    if incident is None:
        return f"There is no incident {identity}."
    subject = f"Incident {identity} ({incident.name}, {place(incident)})"
    if incident.acknowledged is not None:
        return f"{subject}: {incident.acknowledged_by} acknowledged it at {clock(incident.acknowledged)}."
    return f"{subject} ended at {clock(incident.resolved)}; nobody had acknowledged it."


def place(incident: Incident) -> str:
    """Return what an incident is about."""
    return next((incident.labels[name] for name in _PLACES if incident.labels.get(name)), "the whole system")


def clock(moment: float | None) -> str:
    """Write a moment as messages do."""
    return "" if moment is None else f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


class Kpi(NamedTuple):
    """A time of the history in figures; no figures where there was nothing to measure."""

    name: str
    meaning: str
    mean: float | None
    median: float | None
    measured: int


def kpis(incidents: Sequence[Incident]) -> list[Kpi]:
    """Return the times to detect, acknowledge and resolve; each says of how many incidents it speaks."""
    detected = [each.detected_after for each in incidents if each.detected_after is not None]
    taken = [each.acknowledged_after for each in incidents if each.acknowledged_after is not None]
    ended = [each.lasted(each.resolved) for each in incidents if each.resolved is not None]
    return [
        _kpi("MTTD", "from when the condition was first seen until people were told", detected),
        _kpi("MTTA", "from when people were told until somebody acknowledged", taken),
        _kpi("MTTR", "from the alert's first start until its end", ended),
    ]


def _kpi(name: str, meaning: str, values: Sequence[float]) -> Kpi:
    if not values:
        return Kpi(name, meaning, None, None, 0)
    return Kpi(name, meaning, sum(values) / len(values), median(values), len(values))


def document(incident: Incident) -> dict[str, Any]:
    """Return an incident for JSON; times are Unix seconds."""
    return {
        "id": incident.id,
        "alert": incident.name,
        "severity": incident.severity.value,
        "escalation": incident.escalation,
        "fingerprint": incident.fingerprint,
        "labels": dict(incident.labels),
        "annotations": dict(incident.annotations),
        "started": incident.started,
        "alert_since": incident.fired,
        "away": incident.away,
        "opened": incident.opened,
        "told": list(incident.told),
        "acknowledged": incident.acknowledged,
        "acknowledged_by": incident.acknowledged_by,
        "resolved": incident.resolved,
        "is_suppressed": incident.is_suppressed,
        "returns": incident.returns,
        "stages": [
            {"stage": each.stage, "channels": list(each.channels), "at": each.at, "waited": each.waited}
            for each in incident.stages
        ],
    }
