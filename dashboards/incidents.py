"""Panels about incidents: what is open, how long people took, who had to be asked twice, and whether the desk works."""

from contract.vocabulary import OddAlert, WebhookResult
from dashboards.alerts import SEVERITIES
from dashboards.conventions import MEANING, Colour, two_by_result
from dashboards.fields import Column
from dashboards.panels import About, Empty, Panel, number, rows, stack
from dashboards.queries import OVERLAP, Query, rate

NOT_INSTALLED = "Not installed: no incident desk is scraped."
NONE_YET = "No such incident in this time, or no incident desk is scraped."
TIMES = {
    "detect": "From when the condition was first seen until people were told, on average in the chosen time.",
    "acknowledge": "From when people were told until one of them acknowledged, on average over the same incidents.",
    "resolve": "From the first start of the alert until its end, on average. Counted once the alert has stayed away "
    "for the desk's grace, so an incident that has just ended is not in it yet.",
}


def open_incidents() -> Panel:
    """How many are open."""
    about = About("Open incidents", "Incidents that are not resolved.", NOT_INSTALLED, Empty.WHEN_UNUSED)
    return number(about, Query("sum(mcp_incidents_open)"), unit="none", steps=[(1, Colour.BAD)]).sized(12)


def mean_time(stage: str) -> Panel:
    """How long a stage of an incident takes."""
    told = f"Mean time to {stage}. {TIMES[stage]}"
    about = About(f"MTT{stage[0].upper()}: to {stage}", told, NONE_YET, Empty.WHEN_UNUSED, "none yet")
    return number(about, Query(_mean(stage)), unit="s")


def times_clamped() -> Panel:
    """Whether the times can be believed."""
    about = About(
        "Times fixed for clocks",
        "Times of alerts in the chosen time that clocks in disagreement made impossible, and that were moved.",
        NOT_INSTALLED,
        Empty.WHEN_UNUSED,
    )
    query = Query("sum(increase(mcp_incident_times_clamped_total[$__range]))")
    return number(about, query, unit="none", steps=[(1, Colour.NOTICE)]).sized(12)


def by_severity() -> Panel:
    """How long the stages take by severity."""
    about = About(
        "Incidents by severity",
        "Incidents that were resolved in the chosen time, and how long people took for them on average.",
        NONE_YET,
        Empty.WHEN_UNUSED,
    )
    resolved = "sum by (severity) (round(increase(mcp_incident_resolve_seconds_count[$__range]))) > 0"
    columns = [
        Column("severity", "Severity", colours={word: MEANING[word] for word in SEVERITIES}),
        Column("Value #A", "Resolved", unit="none", width=85),
        *(
            Column(f"Value #{letter}", f"MTT{stage[0].upper()}", unit="s", width=92)
            for letter, stage in zip("BCD", TIMES, strict=True)
        ),
    ]
    queries = [Query(resolved), *(Query(_mean(stage, "severity")) for stage in TIMES)]
    return rows(about, columns, *queries).sized(16, 9)


def escalations() -> Panel:
    """When nobody answered."""
    about = About(
        "Escalations",
        f"Stages begun because nobody had acknowledged. {OVERLAP}",
        NONE_YET,
        Empty.WHEN_UNUSED,
    )
    begun = "sum by (escalation, stage) (round(increase(mcp_incident_escalations_total[$__rate_interval])))"
    return stack(about, Query(f"{begun} > 0", "{{escalation}} {{stage}}"), unit="none", ends_in="max").sized(8)


def notifications_taken() -> Panel:
    """What Alertmanager hands over."""
    about = About(
        "Notifications taken",
        "Notifications a second that Alertmanager hands to the incident desk, by what became of them.",
        NOT_INSTALLED,
        Empty.WHEN_UNUSED,
    )
    query = Query(f"sum by (result) ({rate('mcp_incident_webhook_requests_total')})", "{{result}}")
    return stack(about, query, unit="ops", legends=tuple(WebhookResult))


def requests_sent() -> Panel:
    """What the desk asks of Alertmanager."""
    about = About(
        "Requests by the desk",
        "Requests a second: the state of alerts is read, escalations are posted.",
        NOT_INSTALLED,
        Empty.WHEN_UNUSED,
    )
    query = Query(
        f"sum by (request, result) ({rate('mcp_incident_alertmanager_requests_total')})", "{{request}} {{result}}"
    )
    return stack(about, query, unit="ops", colours=two_by_result("read", "post"))


def trouble() -> Panel:
    """What the desk could not take or keep."""
    about = About(
        "Not taken or not kept",
        f"Uses of its database that failed, and readings of alerts that were cut or skipped. {OVERLAP}",
        NOT_INSTALLED,
        Empty.WHEN_UNUSED,
    )
    errors = "sum(round(increase(mcp_incident_write_errors_total[$__rate_interval])))"
    odd = "sum by (handling) (round(increase(mcp_incident_odd_alerts_total[$__rate_interval])))"
    queries = Query(errors, "database failed"), Query(odd, "alert {{handling}}")
    return stack(about, *queries, unit="none", legends=("failed", *OddAlert))


def _mean(stage: str, *by: str) -> str:
    group = f" by ({', '.join(by)})" if by else ""
    took, counted = (
        f"sum{group} (increase(mcp_incident_{stage}_seconds_{part}[$__range]))" for part in ("sum", "count")
    )
    return f"{took} / ({counted} > 0)"
