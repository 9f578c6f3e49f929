"""Service level objectives: what was promised, how much of the error budget is left, how fast it burns."""

from collections.abc import Iterator
from dataclasses import dataclass

from dashboards.board import Board, Row
from dashboards.conventions import Colour, NoData
from dashboards.fields import Step
from dashboards.panels import About, Panel, lines, number
from dashboards.queries import Query

WINDOWS = ("5m", "1h", "6h", "3d")
BUDGET_STEPS: list[Step] = [(0.0, Colour.WARNING), (0.25, Colour.GOOD)]
PAGE_BURN_RATE = 14.4
"""Burn rate that spends 2 % of a 30-day budget in an hour (Google, The Site Reliability Workbook, chapter 5)."""


@dataclass(frozen=True)
class Objective:
    """A share of events that must be good."""

    title: str
    target: float
    good: str
    all_events: str
    means: str
    no_data: str


OBJECTIVES = (
    Objective(
        "Agent availability",
        0.999,
        'mcp_agent_probes_total{outcome=~"ok|degraded"}',
        "mcp_agent_probes_total",
        "probes that found their agent healthy",
        NoData.EXPORTER,
    ),
    Objective(
        "Workflow success",
        0.95,
        'mcp_workflow_runs_total{outcome="completed"}',
        'mcp_workflow_runs_total{outcome=~"completed|failed|timed_out|max_iterations"}',
        "ended runs that completed; runs that people cancelled or rejected do not count",
        NoData.WORKFLOWS,
    ),
    Objective(
        "Fast operations",
        0.95,
        'mcp_server_operation_duration_seconds_bucket{le=~"30([.]0)?"}',
        "mcp_server_operation_duration_seconds_count",
        "MCP operations that took less than 30 seconds",
        NoData.SIDECAR,
    ),
)


def board() -> Board:
    """Return the dashboard of objectives: a row each."""
    return Board(
        name="slos",
        title="SLOs",
        description="Each objective: how much was good, how much error budget is left, how fast it burns.",
        filters=[],
        rows=[Row(list(_panels(objective)), f"{objective.title}: {objective.target:.1%}") for objective in OBJECTIVES],
    )


def _panels(objective: Objective) -> Iterator[Panel]:
    yield achieved(objective)
    yield budget_left(objective)
    yield burn_rate(objective)


def achieved(objective: Objective) -> Panel:
    """How much was good."""
    about = About(
        f"{objective.title}, achieved",
        f"Share of {objective.means}, in the chosen time range. Promised: {objective.target:.1%}.",
        objective.no_data,
    )
    steps = [(objective.target, Colour.GOOD)]
    return number(about, Query(_good(objective, "$__range")), unit="percentunit", steps=steps, base=Colour.BAD).sized(
        4, 8
    )


def budget_left(objective: Objective) -> Panel:
    """How much may still go wrong."""
    about = About(
        f"{objective.title}, error budget left",
        "Share of the errors that the objective allows in the chosen time range and that have not happened; "
        "below 0 the promise is broken.",
        objective.no_data,
    )
    left = f"1 - (1 - {_good(objective, '$__range')}) / {1 - objective.target:.12g}"
    return number(about, Query(left), unit="percentunit", steps=BUDGET_STEPS, base=Colour.BAD).sized(4, 8)


def burn_rate(objective: Objective) -> Panel:
    """How fast the budget goes."""
    about = About(
        f"{objective.title}, burn rate",
        "How many times faster than allowed errors happen, over several windows: at 1 the budget lasts exactly, "
        f"at {PAGE_BURN_RATE} a 30-day budget is gone in two days.",
        objective.no_data,
    )
    allowed = f"{1 - objective.target:.12g}"
    queries = [Query(f"(1 - {_good(objective, window)}) / {allowed}", window) for window in WINDOWS]
    return lines(about, *queries, unit="none").sized(16)


def _good(objective: Objective, window: str) -> str:
    good, all_events = (f"sum(increase({each}[{window}]))" for each in (objective.good, objective.all_events))
    return f"(({good} or 0 * {all_events}) / ({all_events} > 0))"
