"""Panels about alerts: what fires, since when, and who was told."""

from dashboards.conventions import MEANING, Colour, NoData
from dashboards.fields import Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, number, rows, stack
from dashboards.queries import FIRING, RULES_ARE_EVALUATED, SUBJECTS, Query, first_label

SEVERITIES = ("critical", "major", "minor", "info")


def firing_count() -> Panel:
    """How many alerts fire; says so when nobody evaluates rules."""
    about = About(
        "Alerts firing",
        "Alerts that fire now, the Watchdog left out. Empty when the Watchdog does not fire: then no alert could.",
        NoData.RULES,
    )
    query = Query(f"(sum({FIRING}) or vector(0)) and {RULES_ARE_EVALUATED}")
    return number(about, query, unit="none", steps=[(1, Colour.BAD)])


def firing_list(limits: Limits) -> Panel:
    """Which alerts fire, about what, since when, and who was told."""
    about = About(
        "What fires, since when, and who was told",
        "Firing alerts, one a line. Since: when the condition became true. Told: the channels of the alert's policy.",
        "No alert fires.",
        Empty.WHEN_HEALTHY,
    )
    since = first_label(f"ALERTS_FOR_STATE and ignoring (alertstate) {FIRING}", "subject", SUBJECTS)
    told = f'label_replace({since}, "told", "$1", "alertname", "(.+)")'
    query = Query(f"1000 * max by (severity, alertname, resource, subject, told) ({told})")
    columns = [
        Column("severity", "Severity", colours={word: MEANING[word] for word in SEVERITIES}, width=80),
        Column("alertname", "Alert", width=180),
        Column("subject", "About"),
        Column("resource", "Resource", width=85),
        Column("Value", "Since", unit="dateTimeFromNow", width=150),
        Column("told", "Told", texts=limits.channels()),
    ]
    # By the alphabet critical comes first, minor last.
    return rows(about, columns, query, sort_by="Severity", descending=False)


def firing_history() -> Panel:
    """How many alerts fired when."""
    about = About(
        "Alerts firing by severity",
        "How many alerts fired at each moment, by severity, the Watchdog left out.",
        "No alert fired in this time.",
        Empty.WHEN_HEALTHY,
    )
    return stack(about, Query(f"sum by (severity) ({FIRING})", "{{severity}}"), unit="none", legends=SEVERITIES)


def notifications() -> Panel:
    """What Alertmanager sent."""
    about = About(
        "Notifications sent by channel",
        "Messages that Alertmanager sent within each interval, resolved ones included, by integration.",
        "No message was sent in this time.",
        Empty.WHEN_HEALTHY,
    )
    sent = "sum by (integration) (round(increase(alertmanager_notifications_total[$__rate_interval])))"
    return stack(about, Query(f"{sent} > 0", "{{integration}}"), unit="none")
