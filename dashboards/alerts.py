"""Panels about alerts: what fires, since when, and who is told."""

from collections.abc import Iterable, Mapping, Sequence

from dashboards.conventions import MEANING, Colour, NoData
from dashboards.fields import NOTHING, SORTED, Column
from dashboards.limits import OVERVIEW, Limits
from dashboards.panels import About, Empty, Panel, number, rows, stack
from dashboards.queries import FIRING, HEARTBEAT, OVERLAP, RULES_ARE_EVALUATED, SUBJECTS, Query, first_label, narrowed

SEVERITIES = ("critical", "major", "minor", "info")
COLOURS = {**{word: MEANING[word] for word in SEVERITIES}, "unknown": Colour.UNKNOWN}
NOBODY = "nobody"
EVERY = "all"
"""Stands in a query for the value of a variable that chooses everything, which Grafana would fill in there."""
LINE = "severity, alertname, subject"
"""Labels of which each combination is one alert to a reader: one line of the table, one in the counts."""


def firing_count() -> Panel:
    """How many alerts fire; says so when nobody evaluates rules."""
    about = About(
        "Alerts that fire",
        "Alerts that fire now, the Watchdog left out. Empty when the Watchdog does not fire: then no alert could.",
        NoData.RULES,
    )
    return number(about, Query(count()), unit="none", steps=[(1, Colour.BAD)])


def count(matchers: str = "") -> str:
    """Return how many lines of the table of firing alerts there are; nothing where no rules are evaluated."""
    lines = f"max by ({LINE}) ({_with_subject(narrowed(FIRING, matchers))})"
    return f"(count({lines}) or vector(0)) and {RULES_ARE_EVALUATED}"


def _with_subject(alerts: str) -> str:
    """Return alerts with what each is about: its most telling label, and the resource where there is one."""
    joined = f'label_join({first_label(alerts, "subject", SUBJECTS)}, "subject", " ", "subject", "resource")'
    return f'label_replace({joined}, "subject", "$1", "subject", "(.*?) ?")'


def starts(limits: Limits) -> str:
    """Return when each firing alert began, as its messages say; Prometheus tells since when its condition is true."""
    held = [
        f'(ALERTS_FOR_STATE{{alertname=~"{"|".join(names)}"}} + {wait:g})' for wait, names in limits.waits().items()
    ]
    return f"({' or '.join([*held, 'ALERTS_FOR_STATE'])}) and ignoring (alertstate) {FIRING}"


def firing_list(limits: Limits) -> Panel:
    """Which alerts fire, about what, since when, and who is told."""
    about = About(
        "What fires, since when, and who is told",
        "Firing alerts, one a line. Since: when the alert began, as its messages say; its condition was true before, "
        "for the waiting time of its policy. Tells: the channels of the policy, not what they were sent: alerts are "
        "gathered first, a silence keeps them back, a delivery may fail; Lookout itself and the incident desk say so. "
        "A click on an alert opens the dashboard that tells more.",
        "No alert fires.",
        Empty.WHEN_HEALTHY,
    )
    filters = limits.filters()
    firing = _with_filters(_with_subject(starts(limits)), filters)
    for column in ("told", "board"):
        firing = f'label_replace({firing}, "{column}", "$1", "alertname", "(.+)")'
    kept = ", ".join([LINE, "told", "board", *map(_filter, filters)])
    query = Query(f"1000 * max by ({kept}) ({firing}) or {_silence_means_nothing(filters)}")
    channels = {**limits.channels(), NOBODY: NOBODY}
    columns = [
        Column("severity", "Severity", colours=COLOURS, width=SORTED),
        Column("alertname", "Alert", width=165, link=_address(filters)),
        Column("subject", "About", width=160),
        Column("Value", "Since", unit="dateTimeFromNow", texts={"0": NOTHING}, width=148),
        Column("told", "Tells", texts=channels, otherwise="no policy says", wraps=True),
        Column("board", "Board", texts=limits.boards(), otherwise=OVERVIEW, is_hidden=True),
        *(Column(_filter(label), _filter(label), texts={EVERY: "$__all"}, is_hidden=True) for label in filters),
    ]
    # By the alphabet critical comes first, minor last.
    return rows(about, columns, query, sort_by="Severity", descending=False)


def _with_filters(alerts: str, filters: Mapping[str, Sequence[str]]) -> str:
    """Return alerts with what their dashboard is narrowed to: all, where the policy or the alert names nothing."""
    for label, names in filters.items():
        chosen = _filter(label)
        all_of_it = f'label_replace({alerts}, "{chosen}", "{EVERY}", "", "")'
        named = f'label_join({all_of_it}, "named", " ", "alertname", "{label}")'
        alerts = f'label_replace({named}, "{chosen}", "$1", "named", "(?:{"|".join(names)}) (.+)")'
    return alerts


def _filter(label: str) -> str:
    return f"only_{label}"


def _address(filters: Iterable[str]) -> str:
    """Return where a click on an alert leads: to the same dashboard, of the same subject, as its message."""
    chosen = "".join(f"&var-{label}=${{__data.fields.{_filter(label)}:percentencode}}" for label in filters)
    return f"/d/${{__data.fields.Board}}?${{__url_time_range}}{chosen}"


def _silence_means_nothing(filters: Iterable[str]) -> str:
    """Return a line that says so where no rules are evaluated: an empty table would read as good news."""
    line = f"0 * absent(max({HEARTBEAT}))"
    told = {"alertname": "Rules are not evaluated", "severity": "unknown", "subject": "Prometheus", "told": NOBODY}
    told |= {"board": OVERVIEW, **dict.fromkeys(map(_filter, filters), EVERY)}
    for label, text in told.items():
        line = f'label_replace({line}, "{label}", "{text}", "", "")'
    return line


def firing_history() -> Panel:
    """How many alerts fired when."""
    about = About(
        "Alerts by severity",
        "How many alerts fired at each moment, by severity, the Watchdog left out.",
        "No alert fired in this time.",
        Empty.WHEN_HEALTHY,
    )
    return stack(
        about, Query(f"sum by (severity) ({FIRING})", "{{severity}}"), unit="none", legends=SEVERITIES, ends_in="max"
    )


def notifications() -> Panel:
    """What Alertmanager sent."""
    about = About(
        "Messages by channel",
        f"Messages that Alertmanager sent, resolved ones included, by integration. {OVERLAP}",
        "No message was sent in this time.",
        Empty.WHEN_HEALTHY,
    )
    sent = "sum by (integration) (round(increase(alertmanager_notifications_total[$__rate_interval])))"
    return stack(about, Query(f"{sent} > 0", "{{integration}}"), unit="none", ends_in="max")
