"""The health score, as published in docs/health-score.md. Pure: values in, values out.

Unknown is neither healthy nor zero: what is unknown leaves the average, and is shown.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from contract.vocabulary import HealthComponent, RunOutcome, Severity
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
    STARTING = "starting"
    NOT_CONFIGURED = "not_configured"


CEILINGS = {Status.DEGRADED: HEALTHY_FROM - 1, Status.UNHEALTHY: DEGRADED_FROM - 1}
"""The highest score that a status allows: whoever sees only the number sees the same verdict."""
_WORST_FIRST = (Status.UNHEALTHY, Status.DEGRADED, Status.UNKNOWN, Status.STARTING)
_ALARMED = {Severity.CRITICAL: Status.UNHEALTHY, Severity.MAJOR: Status.DEGRADED}
"""Among which reasons an alarm is told."""


@dataclass(frozen=True)
class Part:
    """One thing that a component's score is made of; no score means unknown, and `detail` says why."""

    name: str
    score: float | None
    detail: str
    is_whole: bool = True
    """Whether everything of it is known; a type with a stale agent is not."""
    has_failed: bool = False
    """Whether something of it is down; its points do not tell that of one agent of a hundred."""

    @property
    def status(self) -> Status:
        """How it is by itself."""
        if self.score is None:
            return Status.UNKNOWN
        found = status_of(self.score)
        return Status.DEGRADED if self.has_failed and found is Status.HEALTHY else found

    @property
    def is_well(self) -> bool:
        """Whether it gives no reason to call its component anything but healthy."""
        return self.is_whole and self.status is Status.HEALTHY


@dataclass(frozen=True)
class Component:
    """A component's score, status and parts."""

    name: HealthComponent
    score: float | None
    status: Status
    parts: Sequence[Part]


class Reason(NamedTuple):
    """Why the system is not healthy: a part or component, and what is the matter with it."""

    name: str
    matter: str


@dataclass(frozen=True)
class SystemHealth:
    """The whole, and why it is not healthy."""

    score: float | None
    status: Status
    components: Sequence[Component]
    reasons: Sequence[Reason] = ()


def agents(states: Mapping[str, Sequence[AgentState]], *, is_young: bool = False) -> Component:
    """Judge the agents: the mean over types of the mean points of a type's agents.

    While the exporter is young, agents that were never probed are not held against them.
    """
    parts = [_agent_type(name, found) for name, found in states.items() if found]
    component = _component(HealthComponent.AGENTS, parts, _mean)
    seen = {state for found in states.values() for state in found}
    if component.status not in (Status.HEALTHY, Status.UNKNOWN) or not seen & {AgentState.UNKNOWN, AgentState.STALE}:
        return component
    if is_young and AgentState.STALE not in seen:
        return _judged(component, Status.STARTING)
    return component if component.score is None else _judged(component, Status.DEGRADED)


def not_measured_yet(component: Component) -> Component:
    """Return the component as one that the young exporter has not measured yet, where it is unknown."""
    return replace(component, status=Status.STARTING) if component.status is Status.UNKNOWN else component


def workflows(counts: Mapping[str, Mapping[RunOutcome, float] | None]) -> Component:
    """Judge the workflows: the mean of their success; None stands for one whose engine cannot be read."""
    return _component(HealthComponent.WORKFLOWS, [_workflow(name, ended) for name, ended in counts.items()], _mean)


def checks(name: HealthComponent, results: Mapping[str, tuple[Check, float | str]]) -> Component:
    """Judge checks: the lowest known one decides, for a full disk is not mended by an idle CPU.

    A result is the query's worst value, or why there is none.
    """
    return _component(name, [_check(part, *result) for part, result in results.items()], min)


def combine(
    components: Sequence[Component],
    weights: Mapping[HealthComponent, float],
    alarms: Mapping[str, Severity] = MappingProxyType({}),
) -> SystemHealth:
    """Make the system's status, the worst of the components', and its score, their weighted mean, held to the status.

    A component that should be known and is not, and any of the alarms (alerts that fire, by name), leave the system
    degraded at best. While it starts it has no score.
    """
    known = [(c.score, weights.get(c.name, 1.0)) for c in components if c.score is not None]
    total = sum(weight for _, weight in known)
    mean = sum(points * weight for points, weight in known) / total if total else None
    status = _worst({component.status for component in components}, is_known=bool(total), is_alarmed=bool(alarms))
    reasons = [reason for component in components for reason in _reasons(component)]
    reasons += [(_ALARMED[severity], Reason(name, "fires")) for name, severity in alarms.items()]
    reasons.sort(key=lambda reason: _WORST_FIRST.index(reason[0]))
    return SystemHealth(_held(mean, status), status, components, [reason for _, reason in reasons])


def _worst(statuses: Set[Status], *, is_known: bool, is_alarmed: bool) -> Status:
    if not is_known and not is_alarmed:
        return Status.STARTING if Status.STARTING in statuses else Status.UNKNOWN
    if Status.UNHEALTHY in statuses:
        return Status.UNHEALTHY
    if is_alarmed or statuses & {Status.DEGRADED, Status.UNKNOWN}:
        return Status.DEGRADED
    return Status.STARTING if Status.STARTING in statuses else Status.HEALTHY


def _held(score: float | None, status: Status) -> float | None:
    """Hold a score to what its status allows; what starts has none yet."""
    if score is None or status is Status.STARTING:
        return None
    return min(score, CEILINGS.get(status, score))


def _judged(component: Component, status: Status) -> Component:
    return replace(component, status=status, score=_held(component.score, status))


def _reasons(component: Component) -> list[tuple[Status, Reason]]:
    """Say what keeps a component from being healthy, and how bad it is: all of it, or its parts that are not well."""
    if component.status is Status.STARTING:
        return [(Status.STARTING, Reason(component.name, "not measured yet"))]
    if component.status is Status.UNKNOWN:
        return [(Status.UNKNOWN, Reason(component.name, "unknown"))]
    if component.status in (Status.HEALTHY, Status.NOT_CONFIGURED):
        return []
    odd = [part for part in component.parts if not part.is_well]
    return [
        (Status.UNKNOWN if part.status is Status.HEALTHY else part.status, Reason(part.name, part.detail))
        for part in odd
    ]


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / len(held)


def _component(name: HealthComponent, parts: Sequence[Part], merge: Callable[[Iterable[float]], float]) -> Component:
    known = [part.score for part in parts if part.score is not None]
    if not known:
        return Component(name, None, Status.UNKNOWN if parts else Status.NOT_CONFIGURED, parts)
    score = merge(known)
    status = status_of(score)
    if status is Status.HEALTHY and any(part.status not in (Status.HEALTHY, Status.UNKNOWN) for part in parts):
        status = Status.DEGRADED
    return Component(name, _held(score, status), status, parts)


def status_of(points: float) -> Status:
    """Judge points by themselves."""
    if points >= HEALTHY_FROM:
        return Status.HEALTHY
    return Status.DEGRADED if points >= DEGRADED_FROM else Status.UNHEALTHY


def _agent_type(name: str, states: Sequence[AgentState]) -> Part:
    points = [POINTS[state] for state in states if state in POINTS]
    up = sum(state in (AgentState.HEALTHY, AgentState.DEGRADED) for state in states)
    detail = f"{up} of {len(states)} healthy"
    if odd := states.count(AgentState.DEGRADED):
        detail += f", {odd} degraded"
    if missing := len(states) - len(points):
        detail += f", {missing} unknown"
    is_down = AgentState.UNHEALTHY in states
    return Part(name, _mean(points) if points else None, detail, is_whole=not missing, has_failed=is_down)


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
    # 0.0 comes first: a share of -0.0 equals it, and max keeps the first of equals.
    return Part(name, 100 * min(max(0.0, share), 1.0), shown(result, check.unit))


def shown(value: float, unit: str) -> str:
    """Write a check's value for people."""
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} s" if unit == "seconds" else f"{value:.3g}"
