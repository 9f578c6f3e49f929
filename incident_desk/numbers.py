"""The desk's metrics, counted where something happens."""

from collections import Counter
from collections.abc import Iterable

from contract.instruments import Instruments
from contract.vocabulary import OddAlert, Severity, WebhookResult
from incident_desk.incident import Incident
from rules.escalation import Escalations


class Numbers:
    """What the desk counts and measures."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._open = instruments.gauge("mcp_incidents_open")
        self._webhook = instruments.counter("mcp_incident_webhook_requests_total")
        self._unwritten = instruments.counter("mcp_incident_write_errors_total")
        self._odd = instruments.counter("mcp_incident_odd_alerts_total")
        self._requests = instruments.counter("mcp_incident_alertmanager_requests_total")
        self._clamped = instruments.counter("mcp_incident_times_clamped_total")

    def know(self, escalations: Escalations) -> None:
        """Let the series of every stage begin at 0."""
        for word, stages in escalations.escalations.items():
            for stage in stages:
                self._instruments.child("mcp_incident_escalations_total", word.value, stage.name)

    def escalated(self, incident: Incident, stage: str) -> None:
        """Count a stage that begins."""
        self._instruments.child("mcp_incident_escalations_total", incident.escalation, stage).inc()

    def clamped(self) -> None:
        """Count an alert whose times are impossible."""
        self._clamped.inc()

    def unwritten(self) -> None:
        """Count a change that the database refused."""
        self._unwritten.inc()

    def odd(self, handling: OddAlert) -> None:
        """Count an alert that was cut or skipped."""
        self._odd.labels(handling.value).inc()

    def notified(self, result: WebhookResult) -> None:
        """Count a notification."""
        self._webhook.labels(result.value).inc()

    def requested(self, request: str, *, succeeded: bool) -> None:
        """Count a request to Alertmanager."""
        self._requests.labels(request, "success" if succeeded else "failure").inc()

    def are_open(self, incidents: Iterable[Incident]) -> None:
        """Show how many incidents are open."""
        counts = Counter(incident.severity for incident in incidents)
        for severity in Severity:
            self._open.labels(severity.value).set(counts[severity])
