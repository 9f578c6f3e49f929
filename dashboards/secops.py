"""SecOps: what fired and for how long, how long people took, and how much of the fleet is watched."""

from dashboards import incidents
from dashboards.alerts import SEVERITIES, count, firing_count, firing_history, firing_list, notifications, starts
from dashboards.board import Board, Row
from dashboards.conventions import MEANING, Colour, NoData
from dashboards.fields import SORTED, Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, number, rows, state
from dashboards.queries import FIRING, HEARTBEAT, Query

FRESH_SECONDS = 300


def board(limits: Limits) -> Board:
    """Return the dashboard of security operations."""
    return Board(
        name="secops",
        title="SecOps",
        description="What fires and fired, how long people took to detect, acknowledge and resolve, and coverage.",
        filters=[],
        rows=[
            Row([firing_count(), security_alerts(), longest(limits), coverage(), rules_loaded(), incident_desk()]),
            Row([firing_list(limits)], "Open"),
            Row([fired(), firing_history(), notifications()], "Past"),
            Row(_incidents(), "Incidents"),
            Row(_desk(), "Incident desk"),
        ],
    )


def _incidents() -> list[Panel]:
    return [
        incidents.open_incidents(),
        incidents.times_clamped(),
        *(incidents.mean_time(stage) for stage in incidents.TIMES),
        incidents.by_severity(),
        incidents.escalations(),
    ]


def _desk() -> list[Panel]:
    panels = incidents.notifications_taken(), incidents.requests_sent(), incidents.trouble()
    return [panel.sized(8) for panel in panels]


def security_alerts() -> Panel:
    """How many of them are about security."""
    about = About(
        "Security alerts",
        "Alerts of the component security that fire now. Empty when the Watchdog does not fire.",
        NoData.RULES,
    )
    return number(about, Query(count('component="security"')), unit="none", steps=[(1, Colour.BAD)])


def longest(limits: Limits) -> Panel:
    """How long people have been told that something is wrong."""
    about = About(
        "Longest alert",
        "Time since the alert that fires longest began, as its messages say.",
        "No alert fires.",
        Empty.WHEN_HEALTHY,
    )
    return number(about, Query(f"time() - min({starts(limits)})"), unit="s")


def coverage() -> Panel:
    """How much of the fleet is really watched."""
    about = About(
        "Agents watched",
        f"Share of the configured agents that were probed within {FRESH_SECONDS // 60} minutes, healthy or not.",
        NoData.EXPORTER,
    )
    probed = f"count(time() - mcp_agent_last_probe_timestamp_seconds < {FRESH_SECONDS})"
    steps = [(1.0, Colour.GOOD)]
    query = Query(f"({probed} or vector(0)) / sum(mcp_agents_configured)")
    return number(about, query, unit="percentunit", steps=steps, base=Colour.WARNING)


def rules_loaded() -> Panel:
    """How many rules watch."""
    about = About("Rules evaluated", "Rules that Prometheus evaluates.", NoData.PROMETHEUS)
    return number(about, Query("sum(prometheus_rule_group_rules)"), unit="none")


def incident_desk() -> Panel:
    """Whether incidents are kept."""
    about = About(
        "Incident desk",
        "Whether the incident desk, which keeps incidents and their times, is there and answers.",
        "Not installed: times to detect, acknowledge and resolve are not kept.",
        Empty.WHEN_UNUSED,
    )
    texts = {"1": ("up", Colour.GOOD), "0": ("down", Colour.BAD)}
    return state(about, Query('min(up{job="incident-desk"})'), texts)


def fired() -> Panel:
    """Which alerts fired, and how much of the time."""
    about = About(
        "What fired in this time",
        "Alerts that fired in the chosen time range, of how many subjects, and for which share of the time: "
        "of the minutes that Prometheus has, which may be fewer than were chosen.",
        "No alert fired in this time.",
        Empty.WHEN_HEALTHY,
    )
    rounds = f"count_over_time({FIRING}[$__range])"
    evaluated = f"scalar(max(count_over_time({HEARTBEAT}[$__range])))"
    queries = [
        Query(f"count by (severity, alertname) ({rounds})"),
        Query(f"max by (severity, alertname) ({rounds}) / {evaluated}"),
    ]
    columns = [
        Column("severity", "Severity", colours={word: MEANING[word] for word in SEVERITIES}, width=SORTED),
        Column("alertname", "Alert"),
        Column("Value #B", "Of time", unit="percentunit", width=75),
        Column("Value #A", "Subjects", width=75),
    ]
    return rows(about, columns, *queries, sort_by="Severity", descending=False)
