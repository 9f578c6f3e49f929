"""Serves samples of every metric of the catalogue, and of the programs beside us, for a healthy and a broken system."""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import product

from aiohttp import web

from contract.instruments import is_possible
from contract.metric import Kind, Metric
from contract.metrics import CATALOGUE
from tests.dashboards.foreign import ALERTMANAGER, NODE

Labels = Mapping[str, str]

OPEN: Mapping[str, tuple[str, ...]] = {
    "agent": ("planner-1", "validator-1"),
    "agent_type": ("planner", "validator"),
    "classification": ("confidential",),
    "control": ("audit",),
    "cpu": ("0", "1"),
    "device": ("sda",),
    "error_type": ("", "tool_error"),
    "fstype": ("ext4",),
    "gen_ai_tool_name": ("", "create_plan"),
    "integration": ("slack", "email"),
    "issuer": ("https://idp.example",),
    "key_id": ("2026-11",),
    "mcp_method_name": ("tools/list", "tools/call"),
    "mcp_protocol_version": ("2025-06-18",),
    "metric": ("mcp_agent_up",),
    "mode": ("idle", "user"),
    "mountpoint": ("/",),
    "nodename": ("host-1",),
    "pattern": ("agents/*.yaml",),
    "phase": ("planning", "implementation"),
    "protocol_version": ("2025-06-18",),
    "reason": ("no_permission",),
    "role": ("agent_service", "none"),
    "rpc_response_status_code": ("",),
    "server_name": ("demo",),
    "server_version": ("1.0",),
    "source": ("engine",),
    "step": ("initial_planning", "plan_validation"),
    "version": ("1.0",),
    "workflow": ("pipeline_step",),
}
"""Values of labels whose set is open; a label that is not here gets its own name."""
GOOD: Mapping[str, tuple[str, ...]] = {
    "change": (),
    "error_type": ("",),
    "event": ("auth_success", "authz_allow", "admin"),
    "outcome": ("ok", "completed"),
    "reason": ("ok",),
    "result": ("success", "allow", "hit", "miss"),
}
"""Values that stand for something that went well; others stand still in a healthy system."""
NEVER_WHEN_HEALTHY = {
    "alertmanager_notification_latency_seconds_bucket",
    "alertmanager_notifications_failed_total",
    "alertmanager_notifications_total",
    "mcp_audit_write_errors_total",
    "mcp_auth_fail_open_total",
    "mcp_auth_lockouts_total",
    "mcp_series_dropped_total",
    "mcp_sidecar_background_failures_total",
    "mcp_sidecar_worker_deaths_total",
    "mcp_workflow_step_failures_total",
}
ABSENT_WHEN_HEALTHY = {"mcp_auth_fail_open_total", "mcp_series_dropped_total"}
"""Series that start with the first event."""
STATES = {"mcp_agents_healthy", "mcp_target_file_up", "mcp_workflow_source_up", "mcp_config_last_reload_successful"}
FLAGS = {"alertmanager_config_last_reload_successful", "mcp_agent_up", *STATES}


def exposition(*, is_broken: bool, tick: int) -> str:
    """Return what a scrape of the whole system sees, `tick` scrapes after its start."""
    lines = [line for metric in CATALOGUE.values() for line in _family(metric, is_broken, tick)]
    for name, labels in {**NODE, **ALERTMANAGER}.items():
        lines += _foreign(name, labels, is_broken, tick)
    return "\n".join(lines) + "\n"


def _family(metric: Metric, is_broken: bool, tick: int) -> Iterator[str]:
    if not is_broken and metric.name in ABSENT_WHEN_HEALTHY:
        return
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels in _label_sets(metric):
        grows = is_broken or (metric.name not in NEVER_WHEN_HEALTHY and _is_good(labels))
        count = 20 * tick if grows else 0
        if metric.kind is Kind.HISTOGRAM:
            yield from _histogram(metric.name, labels, metric.buckets, count)
        elif metric.kind is Kind.COUNTER:
            yield _sample(metric.name, labels, count)
        else:
            yield _sample(metric.name, labels, _gauge(metric.name, labels, is_broken))


def _label_sets(metric: Metric) -> Iterator[Labels]:
    values = {**OPEN, "service": metric.services, **metric.values}
    for chosen in product(*(values.get(label, (label,)) for label in metric.labels)):
        labels = dict(zip(metric.labels, chosen, strict=True))
        belongs = "agent" not in labels or labels["agent"].startswith(labels["agent_type"])
        if belongs and ("result" not in labels or is_possible(metric, labels)):
            yield labels


def _is_good(labels: Labels) -> bool:
    return all(labels[label] in good for label, good in GOOD.items() if label in labels)


def _gauge(name: str, labels: Labels, is_broken: bool) -> float:
    if name == "mcp_config_last_reload_success_timestamp_seconds":
        return 1_764_000_000.0
    if "timestamp_seconds" in name:
        return time.time() - 5
    if name in FLAGS:
        return 0.0 if is_broken and labels.get("agent_type") != "planner" else 1.0
    if name.endswith("_info") or name == "mcp_agents_configured":
        return 1.0
    if name in ("mcp_agent_tool_drift", "mcp_audit_chain_broken", "mcp_auth_locked_clients", "mcp_demo_fault_active"):
        return float(is_broken)
    return (40.0 if is_broken else 100.0) if "health_score" in name else 3.0


def _histogram(name: str, labels: Labels, buckets: Iterable[float], count: int) -> Iterator[str]:
    for index, bound in enumerate((*buckets, float("inf"))):
        text = "+Inf" if bound == float("inf") else repr(bound)
        yield _sample(f"{name}_bucket", {**labels, "le": text}, count if index > 2 else 0)
    yield _sample(f"{name}_count", labels, count)
    yield _sample(f"{name}_sum", labels, count)


def _foreign(name: str, labels: tuple[str, ...], is_broken: bool, tick: int) -> Iterator[str]:
    if name.endswith("_bucket"):
        count, bounds = (20 * tick if is_broken else 0), (0.1, 0.5, 1.0, 5.0)
        for integration in OPEN["integration"]:
            yield from _histogram(name.removesuffix("_bucket"), {"integration": integration}, bounds, count)
        return
    for chosen in product(*(OPEN[label] for label in labels)):
        named = dict(zip(labels, chosen, strict=True))
        still = not is_broken and name in NEVER_WHEN_HEALTHY
        counted = 0.0 if still else 0.3 * tick
        yield _sample(name, named, counted if name.endswith("_total") else _gauge(name, named, is_broken))


def _sample(name: str, labels: Labels, value: float) -> str:
    text = ",".join(f'{label}="{each}"' for label, each in labels.items())
    return f"{name}{{{text}}} {value}"


@asynccontextmanager
async def system(*, is_broken: bool) -> AsyncIterator[str]:
    """Serve the metrics of a system until the end of the block; yields host and port."""
    ticks = iter(range(1, 1_000_000))

    async def answer(_request: web.Request) -> web.Response:
        text = exposition(is_broken=is_broken, tick=next(ticks))
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()
