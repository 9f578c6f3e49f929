"""The health score, as published in docs/health-score.md. Pure: values in, values out.

Unknown is neither healthy nor zero: what is unknown leaves the average, and is shown.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.vocabulary import HealthComponent, RunOutcome
from exporter.config import Check
from exporter.fleet import AgentState

HEALTHY_FROM = 90.0
DEGRADED_FROM = 50.0
MIN_RUNS = 5
"""Fewer ended runs than these are judged as if there were so many: one failure of one is no incident."""
FAILED = frozenset({RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.MAX_ITERATIONS})
"""Outcomes that count against a workflow; a cancelled or rejected run is somebody's decision."""
POINTS = {AgentState.HEALTHY: 100.0, AgentState.DEGRADED: 50.0, AgentState.UNHEALTHY: 0.0}
"""Points of an agent; stale and unknown ones have none."""


class Status(enum.StrEnum):
    """How a component or the system is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True)
class Part:
    """One thing that a component's score is made of; no score means unknown, and `detail` says why."""

    name: str
    score: float | None
    detail: str


@dataclass(frozen=True)
class Component:
    """A component's score, status and parts."""

    name: HealthComponent
    score: float | None
    status: Status
    parts: Sequence[Part]


@dataclass(frozen=True)
class SystemHealth:
    """The whole."""

    score: float | None
    status: Status
    components: Sequence[Component]


def agents(states: Mapping[str, Sequence[AgentState]]) -> Component:
    """Judge the agents: the mean over types of the mean points of a type's agents."""
    parts = [_agent_type(name, found) for name, found in states.items() if found]
    component = _component(HealthComponent.AGENTS, parts, _mean)
    is_blurred = any(state in (AgentState.UNKNOWN, AgentState.STALE) for found in states.values() for state in found)
    if is_blurred and component.status is Status.HEALTHY:
        return Component(component.name, component.score, Status.DEGRADED, parts)
    return component


def workflows(counts: Mapping[str, Mapping[RunOutcome, float] | None]) -> Component:
    """Judge the workflows: the mean of their success; None stands for one whose engine cannot be read."""
    return _component(HealthComponent.WORKFLOWS, [_workflow(name, ended) for name, ended in counts.items()], _mean)


def checks(name: HealthComponent, results: Mapping[str, tuple[Check, float | str]]) -> Component:
    """Judge checks: the lowest known one decides, for a full disk is not mended by an idle CPU.

    A result is the query's worst value, or why there is none.
    """
    return _component(name, [_check(part, *result) for part, result in results.items()], min)


def combine(components: Sequence[Component], weights: Mapping[HealthComponent, float], criticals: int) -> SystemHealth:
    """Make the system's score, the weighted mean of known components, and its status, the worst of them.

    A component that should be known and is not, and any firing critical alert, leave the system degraded at best.
    """
    known = [(c.score, weights.get(c.name, 1.0)) for c in components if c.score is not None]
    total = sum(weight for _, weight in known)
    if not total:
        return SystemHealth(None, Status.UNKNOWN, components)
    score = sum(points * weight for points, weight in known) / total
    statuses = {component.status for component in components}
    if Status.UNHEALTHY in statuses:
        return SystemHealth(score, Status.UNHEALTHY, components)
    is_well = not criticals and statuses <= {Status.HEALTHY, Status.NOT_CONFIGURED}
    return SystemHealth(score, Status.HEALTHY if is_well else Status.DEGRADED, components)


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)


def _component(name: HealthComponent, parts: Sequence[Part], merge: Callable[[Iterable[float]], float]) -> Component:
    known = [part.score for part in parts if part.score is not None]
    if not known:
        return Component(name, None, Status.UNKNOWN if parts else Status.NOT_CONFIGURED, parts)
    score = merge(known)
    status = status_of(score)
    if status is Status.HEALTHY and status_of(min(known)) is not Status.HEALTHY:
        status = Status.DEGRADED
    return Component(name, score, status, parts)


def status_of(points: float) -> Status:
    """Judge points by themselves."""
    if points >= HEALTHY_FROM:
        return Status.HEALTHY
    return Status.DEGRADED if points >= DEGRADED_FROM else Status.UNHEALTHY


def _agent_type(name: str, states: Sequence[AgentState]) -> Part:
    points = [POINTS[state] for state in states if state in POINTS]
    up = sum(state in (AgentState.HEALTHY, AgentState.DEGRADED) for state in states)
    detail = f"{up} of {len(states)} healthy"
    if missing := len(states) - len(points):
        detail += f", {missing} unknown"
    return Part(name, _mean(points) if points else None, detail)


def _workflow(name: str, ended: Mapping[RunOutcome, float] | None) -> Part:
    if ended is None:
        return Part(name, None, "its engine cannot be read")
    failed = sum(ended.get(outcome, 0) for outcome in FAILED)
    finished = failed + ended.get(RunOutcome.COMPLETED, 0)
    detail = f"{failed:g} of {finished:g} runs failed" if finished else "no run ended lately"
    return Part(name, 100 * (1 - failed / max(finished, MIN_RUNS)), detail)


def _check(name: str, check: Check, result: float | str) -> Part:
    if isinstance(result, str):
        return Part(name, None, result)
    share = (result - check.bad) / (check.good - check.bad)
    return Part(name, 100 * min(max(share, 0.0), 1.0), shown(result, check.unit))


def shown(value: float, unit: str) -> str:
    """Write a check's value for people."""
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} s" if unit == "seconds" else f"{value:.3g}"
