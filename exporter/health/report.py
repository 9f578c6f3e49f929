"""System health as JSON: what /health answers."""

import datetime
from typing import Any

from exporter.fleet import Agent, AgentState
from exporter.health.alerts import Alert
from exporter.health.score import Component, SystemHealth
from exporter.service import Exporter


def report(exporter: Exporter) -> dict[str, Any]:
    """Return the system's health: status, score, reasons, components, active alerts. Unknown values are null."""
    now = exporter.clock()
    health = exporter.health()
    problem = exporter.alerts.problem
    active = [_alert(alert) for alert in exporter.alerts.alerts if not alert.is_suppressed]
    return {
        "overall_status": health.status,
        "health_score": _rounded(health.score),
        "reasons": [f"{reason.name}: {reason.matter}" for reason in health.reasons],
        "component_health": {part.name.value: _component(part) for part in health.components}
        | _agents(exporter, health, now),
        "active_alerts": None if problem else active,
        "active_alerts_problem": problem or None,
        "timestamp": _moment(now),
    }


def _component(component: Component) -> dict[str, Any]:
    parts = {part.name: {"score": _rounded(part.score), "detail": part.detail} for part in component.parts}
    return {"status": component.status, "score": _rounded(component.score), "parts": parts}


def _agents(exporter: Exporter, health: SystemHealth, now: float) -> dict[str, Any]:
    """Return the agents' component: beside status and score, every type with its instances, as the seeds have it."""
    own = next(component for component in health.components if component.name == "agents")
    types = {name: _type(agents, now) for name, agents in exporter.fleet.by_type().items() if agents}
    return {"agents": {"status": own.status, "score": _rounded(own.score), **types}}


def _type(agents: list[Agent], now: float) -> dict[str, Any]:
    instances = [_instance(agent, now) for agent in agents]
    healthy = sum(agent.state(now) in (AgentState.HEALTHY, AgentState.DEGRADED) for agent in agents)
    return {"total_instances": len(agents), "healthy_instances": healthy, "instances": instances}


def _instance(agent: Agent, now: float) -> dict[str, Any]:
    result = agent.result
    return {
        "instance_id": agent.target.name,
        "status": agent.state(now),
        "outcome": result.outcome if result else None,
        "detail": (result.detail or None) if result else None,
        "response_time": round(result.duration_seconds, 6) if result else None,
        "last_check": _moment(agent.probed_at) if result else None,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "name": alert.name,
        "severity": alert.severity,
        "component": alert.component,
        "summary": alert.summary,
        "description": alert.description,
        "since": alert.since.isoformat(),
        "labels": alert.labels,
        "links": alert.links,
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 1)


def _moment(timestamp: float) -> str:
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat(timespec="milliseconds")
