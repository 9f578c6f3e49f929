"""Active alerts, as Alertmanager tells them: read into values; whatever is odd is left out or made harmless."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from contract.vocabulary import Severity
from exporter.exchange import HttpClient
from exporter.outcome import Failure
from exporter.probes.http import get, judge

PATH = "/api/v2/alerts"
_ORDER = {severity.value: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Alert:
    """One alert."""

    name: str
    severity: str
    component: str
    summary: str
    description: str
    since: datetime.datetime
    labels: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)
    """Runbook, dashboard, source and where to acknowledge, http and https only."""
    is_suppressed: bool = False
    """Silenced or inhibited: nobody is told."""

    @property
    def is_alarm(self) -> bool:
        """Whether no system is healthy in which it fires: critical or major, and people are told."""
        return self.severity in (Severity.CRITICAL, Severity.MAJOR) and not self.is_suppressed


@dataclass(frozen=True)
class Alerts:
    """What Alertmanager last told, or why it did not."""

    alerts: tuple[Alert, ...] = ()
    problem: str = "not read yet"
    read_at: float = 0.0


async def read(http: HttpClient, timeout_seconds: float) -> list[Alert] | str:
    """Return all alerts that have not ended, worst and oldest first, or why they could not be read."""
    answer = await get(http, timeout_seconds, "application/json")
    failure = answer if isinstance(answer, Failure) else judge(answer, "the list of alerts")
    if failure or isinstance(answer, Failure):
        return f"{failure.outcome}: {failure.detail}" if failure else ""
    try:
        listed = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        return f"the answer is not JSON: {error}"
    if not isinstance(listed, list):
        return "the answer is not a list of alerts"
    alerts = [_alert(item) for item in listed if isinstance(item, dict)]
    return sorted(alerts, key=lambda alert: (alert.is_suppressed, _ORDER.get(alert.severity, len(_ORDER)), alert.since))


def alarms(found: Iterable[Alert]) -> dict[str, Severity]:
    """Return the names of the alarms among alerts, each with its worst severity, in their order."""
    severities: dict[str, Severity] = {}
    for alert in found:
        if alert.is_alarm:
            mine = Severity(alert.severity)
            severities[alert.name] = min(mine, severities.get(alert.name, mine), key=lambda each: _ORDER[each])
    return severities


def _alert(item: dict[str, Any]) -> Alert:
    labels, annotations = _texts(item.get("labels")), _texts(item.get("annotations"))
    links = {"runbook": annotations.get("runbook_url"), "dashboard": annotations.get("dashboard_url")}
    links["query"] = str(item.get("generatorURL") or "")
    if acknowledge := annotations.get("acknowledge_url"):
        links["acknowledge"] = f"{acknowledge}?{urlencode(labels)}"
    state = _texts(item.get("status")).get("state", "active")
    return Alert(
        name=labels.get("alertname", "unnamed"),
        severity=labels.get("severity", "none"),
        component=labels.get("component", ""),
        summary=annotations.get("summary", ""),
        description=annotations.get("description", ""),
        since=_moment(item.get("startsAt")),
        labels=labels,
        links={kind: url for kind, url in links.items() if url and url.startswith(("http://", "https://"))},
        is_suppressed=state == "suppressed",
    )


def _texts(value: object) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    return {str(key): text for key, text in found.items() if isinstance(text, str)}


def _moment(text: object) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
