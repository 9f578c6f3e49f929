"""The status page: how the system is, for a person, in one look."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from contract.pages.layout import add_style
from contract.vocabulary import RunOutcome
from exporter.fleet import Agent, AgentState
from exporter.health.alerts import Alert
from exporter.health.score import FAILED, Status
from exporter.pages.layout import page, tabs, tone
from exporter.service import Exporter
from exporter.workflows.document import Workflow
from exporter.workflows.readings import Reading

REFRESH_SECONDS = 15
SHOWN_PER_TYPE = 60
"""Instances of a type on the page, the worst first; the rest is counted."""
SHOWN_ALERTS = 100
SHOWN_REASONS = 6
SLOW_SECONDS = 2.0
"""A healthy agent whose last probe took longer is marked as slow; the policy agent_slow has the same limit."""

HEADLINES = {
    Status.HEALTHY: "All is well",
    Status.DEGRADED: "Degraded",
    Status.UNHEALTHY: "Unhealthy",
    Status.UNKNOWN: "Unknown",
    Status.STARTING: "Starting",
    Status.NOT_CONFIGURED: "Nothing configured",
}
_WORST_FIRST = {state: place for place, state in enumerate(reversed(AgentState))}
_WORST_FIRST[AgentState.UNHEALTHY] = -1


def setup(app: web.Application, exporter: Exporter) -> None:
    """Serve the page at /."""

    async def show(_request: web.Request) -> web.Response:
        return page("status.html", **view(exporter))

    add_style(app)
    app.router.add_get("/", show)


def view(exporter: Exporter) -> dict[str, Any]:
    """Return what the page shows."""
    now = exporter.clock()
    health = exporter.health()
    types = exporter.fleet.by_type()
    states = [agent.state(now) for agents in types.values() for agent in agents]
    active = [alert for alert in exporter.alerts.alerts if not alert.is_suppressed]
    return {
        "refresh_seconds": REFRESH_SECONDS,
        "links": tabs(exporter.config),
        "tab": "status",
        "health": health,
        "headline": HEADLINES[health.status],
        "reasons": health.reasons[:SHOWN_REASONS],
        "reasons_hidden": len(health.reasons[SHOWN_REASONS:]),
        "agents_up": sum(state in (AgentState.HEALTHY, AgentState.DEGRADED) for state in states),
        "agents_total": len(states),
        "alerts": [_alert(alert, now) for alert in active[:SHOWN_ALERTS]],
        "alerts_total": len(active),
        "alerts_suppressed": len(exporter.alerts.alerts) - len(active),
        "alerts_problem": exporter.alerts.problem,
        "types": [_type(name, agents, now) for name, agents in types.items() if agents],
        "workflows": [_workflow(exporter, reading, of, now) for reading, of in exporter.readings.workflows()],
        "broken_sources": [(name, read.problem) for name, read in exporter.readings.by_source.items() if read.problem],
        "has_sources": bool(exporter.readings.by_source),
        "window": exporter.config.health.window,
    }


def _alert(alert: Alert, now: float) -> dict[str, Any]:
    hidden = {"alertname", "severity", "component", "escalation", "job", "instance"}
    return {
        "alert": alert,
        "age": max(now - alert.since.timestamp(), 0),
        "labels": [(name, value) for name, value in alert.labels.items() if name not in hidden],
    }


def _type(name: str, agents: list[Agent], now: float) -> dict[str, Any]:
    instances = sorted((_instance(agent, now) for agent in agents), key=_rank)
    up = sum(one["state"] in (AgentState.HEALTHY, AgentState.DEGRADED) for one in instances)
    shown = instances[:SHOWN_PER_TYPE]
    return {"name": name, "up": up, "total": len(agents), "instances": shown, "hidden": len(instances) - len(shown)}


def _rank(instance: dict[str, Any]) -> tuple[int, bool]:
    """Order instances for the page: the worst states first, and within a state the slow ones."""
    return _WORST_FIRST[instance["state"]], not instance["is_slow"]


def _instance(agent: Agent, now: float) -> dict[str, Any]:
    result = agent.result
    identity = result.identity if result else None
    return {
        "name": agent.target.name,
        "state": agent.state(now),
        "outcome": result.outcome if result else None,
        "detail": result.detail if result else "not probed yet",
        "latency": result.duration_seconds if result else None,
        "is_slow": result is not None and result.outcome.is_healthy and result.duration_seconds > SLOW_SECONDS,
        "age": now - agent.probed_at if result else None,
        "server": f"{identity.server_name} {identity.server_version}".strip() if identity else "",
        "protocol": identity.protocol_version if identity else "",
        "tools": None if agent.fingerprints is None else len(agent.fingerprints),
        "drifted": sum(map(len, agent.drift)) if agent.drift else 0,
    }


def _workflow(exporter: Exporter, reading: Reading, of: Workflow, now: float) -> dict[str, Any]:
    lately = exporter.readings.window_counts(reading, of)
    finished = lately[RunOutcome.COMPLETED] + _total(lately.get(outcome, 0) for outcome in FAILED)
    waiting = {kind: held for kind, held in of.human.items() if held.pending}
    return {
        "name": of.name,
        "is_current": reading.is_up,
        "age": now - reading.read_at,
        "success": lately[RunOutcome.COMPLETED] / finished if finished else None,
        "tone": tone(100 * lately[RunOutcome.COMPLETED] / finished if finished else None),
        "runs": [(outcome, of.runs.get(outcome, 0)) for outcome in RunOutcome],
        "in_progress": [(phase, held) for phase, held in of.in_progress.items() if held],
        "queue": of.queue,
        "waiting": waiting,
        "last_success_age": now - of.last_success_timestamp if of.last_success_timestamp else None,
    }


def _total(values: Iterable[float]) -> float:
    return sum(values)
