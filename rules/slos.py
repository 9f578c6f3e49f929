"""Service level objectives, and the recording rules that say how fast each one's error budget burns.

Windows and factors: Google, The Site Reliability Workbook, chapter 5, "Multiwindow, multi-burn-rate alerts".
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import Field, StringConstraints

from contract.config import Finding, Model, load
from contract.fields import format_duration, parse_duration
from rules import conventions
from rules.comparison import Number, format_number
from rules.selector import Selector

BUDGET_WINDOW = "30d"
RECORDED_EVERY = "1m"
"""How often events and burn rates are recorded; tells how much of a window has been seen."""


class Pair(NamedTuple):
    """A long window that makes sure, a short one that ends the alert soon, and the burn rate both must exceed."""

    long: str
    short: str
    factor: float


PACES: Mapping[str, tuple[Pair, ...]] = MappingProxyType(
    {
        "fast": (Pair("1h", "5m", 14.4), Pair("6h", "30m", 6)),
        "slow": (Pair("1d", "2h", 3), Pair("3d", "6h", 1)),
    }
)
"""Fast spends 2 % of a 30-day budget in an hour or 5 % in six: page. Slow spends 10 % in one or three days: ticket."""

WINDOWS = tuple(
    sorted({window for pairs in PACES.values() for pair in pairs for window in pair[:2]}, key=parse_duration)
)


class Objective(Model):
    """A share of events that must be good."""

    objective: Annotated[Number, Field(gt=0, lt=1)]
    good: Selector
    all: Selector
    minimum_events: Annotated[float, Field(gt=0)]
    """Nothing is said about a window with fewer events."""


class _File(Model):
    objectives: dict[Annotated[str, StringConstraints(pattern=f"^{conventions.POLICY_NAME}$")], Objective]


def read(file: Path) -> dict[str, Objective]:
    """Read the objectives; raises ConfigError."""

    def check(read: _File) -> Iterator[Finding]:
        for name, objective in read.objectives.items():
            if objective.good == objective.all:
                yield Finding(("objectives", name, "good"), "every event is good", "select fewer events than all")

    return load(file, _File, check).config.objectives


def burn_rate(window: str) -> str:
    """Return the name of the recorded burn rate of a window."""
    return f"slo:burn_rate:ratio{window}"


def groups(objectives: Mapping[str, Objective]) -> list[dict[str, Any]]:
    """Return the recording rules: events and burn rates every minute, what is left of the budgets every five.

    One group an objective: Mimir refuses groups of more than twenty rules.
    """
    rates = [
        {"name": f"lookout_slo_burn_rates_{name}", "interval": RECORDED_EVERY, "rules": list(_rates(name, objective))}
        for name, objective in objectives.items()
    ]
    budgets = [_budget(name, objective) for name, objective in objectives.items()]
    return [*rates, {"name": "lookout_slo_budgets", "interval": "5m", "rules": budgets}]


def _rates(name: str, objective: Objective) -> Iterator[dict[str, Any]]:
    events = f"sum(rate({objective.all}[5m]))"
    yield _record("slo:good:rate5m", f"sum(rate({objective.good}[5m])) or 0 * {events}", name)
    yield _record("slo:all:rate5m", events, name)
    for window in WINDOWS:
        seconds = parse_duration(window)
        good, events = (_over(name, kind, window) for kind in ("good", "all"))
        guard = _guard(name, window, objective.minimum_events) if seconds >= 3600 else ""
        bad = f"(1 - {good} / ({events} > 0))"
        yield _record(burn_rate(window), f"{bad} / {format_number(1 - objective.objective)}{guard}", name)


def _guard(name: str, window: str, minimum: float) -> str:
    """Return what a long window needs to be judged: half of it seen, as a fresh start is no incident, and events."""
    series = f'slo:all:rate5m{{slo="{name}"}}[{window}]'
    half = format_number(_points(window) / 2)
    return f"\nand count_over_time({series}) >= {half}\nand sum_over_time({series}) * 60 >= {format_number(minimum)}"


def _points(window: str) -> float:
    return parse_duration(window) / parse_duration(RECORDED_EVERY)


def _budget(name: str, objective: Objective) -> dict[str, Any]:
    """Return what is left of the whole window's budget; what a young installation has not seen yet counts as good."""
    good, events = (_over(name, kind, BUDGET_WINDOW) for kind in ("good", "all"))
    seen = f'count_over_time(slo:all:rate5m{{slo="{name}"}}[{BUDGET_WINDOW}]) / {format_number(_points(BUDGET_WINDOW))}'
    spent = f"(1 - {good} / ({events} > 0)) / {format_number(1 - objective.objective)} * clamp_max({seen}, 1)"
    return _record(f"slo:error_budget_left:ratio{BUDGET_WINDOW}", f"1 - {spent}", name)


def _over(name: str, kind: str, window: str) -> str:
    series = f'slo:{kind}:rate5m{{slo="{name}"}}'
    return series if window == "5m" else f"avg_over_time({series}[{format_duration(parse_duration(window))}])"


def _record(record: str, expr: str, name: str) -> dict[str, Any]:
    return {"record": record, "expr": expr, "labels": {"slo": name}}
