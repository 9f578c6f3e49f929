"""Service level objectives: what was promised, how much of the error budget is left, how fast it burns."""

from collections.abc import Iterator, Mapping

from contract.vocabulary import Severity
from dashboards.board import Board, Row
from dashboards.conventions import Colour
from dashboards.fields import Step
from dashboards.limits import Limit
from dashboards.panels import About, Panel, lines, number
from dashboards.queries import Query
from rules.slos import BUDGET_WINDOW, PACES, Objective, burn_rate

SHOWN_WINDOWS = ("5m", "1h", "6h", "3d")
WINDOW_COLOURS = ("super-light-blue", Colour.LOW, Colour.NEUTRAL, Colour.HIGH)
"""The longer, the darker."""
BUDGET_STEPS: list[Step] = [(0.0, Colour.WARNING), (0.25, Colour.GOOD)]
NO_EVENTS = "Nothing was recorded: there were too few events, or Prometheus does not evaluate the recording rules."
PAGE = Limit("", PACES["fast"][0].factor, False, Severity.CRITICAL)
"""Burn rate from which on somebody is paged."""


def board(objectives: Mapping[str, Objective]) -> Board:
    """Return the dashboard of objectives: a row each."""
    return Board(
        name="slos",
        title="SLOs",
        description="Each objective: how much was good, how much error budget is left, how fast it burns.",
        filters=[],
        rows=[Row(list(_panels(name, objective)), _title(name)) for name, objective in objectives.items()],
        marked='alertname=~".*Burn|Slo.*"',
    )


def _panels(name: str, objective: Objective) -> Iterator[Panel]:
    yield achieved(name, objective)
    yield budget_left(name, objective)
    yield burn_rates(name)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def achieved(name: str, objective: Objective) -> Panel:
    """How much was good."""
    about = About(
        "Good, in range",
        f"{_title(name)}: share of good events in the chosen time range. Promised: {objective.objective:.4g} of all "
        f"within {BUDGET_WINDOW}, which a short range can miss without harm: the budget beside it is the judge.",
        NO_EVENTS,
        key=f"{_title(name)}: achieved",
    )
    good, events = (f'sum_over_time(slo:{kind}:rate5m{{slo="{name}"}}[$__range])' for kind in ("good", "all"))
    return number(about, Query(f"{good} / ({events} > 0)"), unit="percentunit").sized(6, 9)


def budget_left(name: str, objective: Objective) -> Panel:
    """How much may still go wrong."""
    about = About(
        f"Budget, {BUDGET_WINDOW}",
        f"{_title(name)}: share of the errors allowed in {BUDGET_WINDOW} that have not happened; below 0 the "
        "promise is broken. Days before the first measurement count as good.",
        NO_EVENTS,
        key=f"{_title(name)}: budget left",
    )
    query = Query(f'clamp_max(slo:error_budget_left:ratio{BUDGET_WINDOW}{{slo="{name}"}}, 1)')
    return number(about, query, unit="percentunit", steps=BUDGET_STEPS, base=Colour.BAD).sized(6, 9)


def burn_rates(name: str) -> Panel:
    """How fast the budget goes."""
    about = About(
        "Burn rate",
        f"{_title(name)}: how many times faster than allowed errors happen, over several windows; at 1 the budget "
        "lasts exactly. Dashed: the rate over an hour that pages somebody.",
        NO_EVENTS,
        key=f"{_title(name)}: burn rate",
    )
    queries = [Query(f'{burn_rate(window)}{{slo="{name}"}}', window) for window in SHOWN_WINDOWS]
    colours = dict(zip(SHOWN_WINDOWS, WINDOW_COLOURS, strict=True))
    return lines(about, *queries, unit="none", limit=PAGE, colours=colours).sized(12)
