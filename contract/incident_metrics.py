"""The part of the catalogue that the incident desk emits."""

from contract import vocabulary as words
from contract.metric import INCIDENT_BUCKETS, counter, gauge, histogram, words_of

_SEVERITIES = words_of(words.Severity)

INCIDENTS = (
    gauge(
        "mcp_incidents_open", "Incidents that are not resolved.", "incident_desk", ("severity",), severity=_SEVERITIES
    ),
    *(
        histogram(name, help, "incident_desk", ("severity",), INCIDENT_BUCKETS, severity=_SEVERITIES)
        for name, help in (
            ("mcp_incident_detect_seconds", "From when the condition was first seen until people were told."),
            ("mcp_incident_acknowledge_seconds", "From when people were told until one of them acknowledged."),
            (
                "mcp_incident_resolve_seconds",
                "From the first start of the alert until its end, once it has not come back.",
            ),
        )
    ),
    counter(
        "mcp_incident_escalations_total",
        "Escalation stages begun because nobody had acknowledged.",
        "incident_desk",
        ("escalation", "stage"),
    ),
    counter(
        "mcp_incident_webhook_requests_total",
        "Notifications of Alertmanager by what became of them.",
        "incident_desk",
        ("result",),
        result=words_of(words.WebhookResult),
    ),
    counter(
        "mcp_incident_write_errors_total",
        "Notifications, acknowledgements and looks at what is due that failed because of the database.",
        "incident_desk",
    ),
    counter(
        "mcp_incident_odd_alerts_total",
        "Readings of alerts that are too large or malformed, by whether the rest of it was taken.",
        "incident_desk",
        ("handling",),
        handling=words_of(words.OddAlert),
    ),
    counter(
        "mcp_incident_alertmanager_requests_total",
        "Requests to Alertmanager: the state of alerts is read, escalations are posted.",
        "incident_desk",
        ("request", "result"),
        request=("read", "post"),
        result=("success", "failure"),
    ),
    counter(
        "mcp_incident_times_clamped_total",
        "Times of alerts that clocks in disagreement made impossible, and that were moved to the nearest possible one.",
        "incident_desk",
    ),
)
