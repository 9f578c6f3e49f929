"""The metric catalogue: every series MCP Lookout emits, and who emits it."""

from collections.abc import Mapping

from contract import vocabulary as words
from contract.incident_metrics import INCIDENTS
from contract.metric import (
    DECISION_BUCKETS,
    ITERATION_BUCKETS,
    MCP_BUCKETS,
    WORKFLOW_BUCKETS,
    Kind,
    Metric,
    counter,
    gauge,
    histogram,
    words_of,
)

_AGENT = ("agent_type", "agent")
_ALL = ("exporter", "sidecar", "incident_desk")
_REASONS = words_of(words.AuthReason)
_AUTHZ_REASONS = (
    "ok", "header_mismatch", "insufficient_scope", "no_permission", "unmapped_operation", "internal_error",
)  # fmt: skip

_AGENTS = (
    gauge("mcp_agent_up", "Whether the last probe found the agent healthy.", "exporter", _AGENT),
    gauge("mcp_agent_probe_duration_seconds", "How long the last probe took.", "exporter", _AGENT),
    gauge("mcp_agent_last_probe_timestamp_seconds", "When the agent was last probed.", "exporter", _AGENT),
    gauge("mcp_agent_last_success_timestamp_seconds", "When the agent was last healthy.", "exporter", _AGENT),
    gauge(
        "mcp_agent_info",
        "What the agent says it is; always 1.",
        "exporter",
        (*_AGENT, "era", "protocol_version", "server_name", "server_version"),
        era=("modern", "legacy", "none"),
    ),
    counter(
        "mcp_agent_probes_total",
        "Probes by how they ended.",
        "exporter",
        ("agent_type", "outcome"),
        outcome=words_of(words.ProbeOutcome),
    ),
    histogram("mcp_agent_probe_latency_seconds", "How long probes took.", "exporter", ("agent_type",), MCP_BUCKETS),
    gauge("mcp_agents_configured", "Agents to be probed.", "exporter", ("agent_type",)),
    gauge("mcp_agents_healthy", "Agents whose last probe was healthy.", "exporter", ("agent_type",)),
    gauge("mcp_agent_tools", "Tools the agent lists.", "exporter", _AGENT),
    gauge(
        "mcp_agent_tool_drift",
        "Tools whose definition differs from the pinned one.",
        "exporter",
        (*_AGENT, "change"),
        change=words_of(words.ToolChange),
    ),
    gauge(
        "mcp_target_file_up",
        "Whether the last reading of a file_sd pattern was good; 0 also if a file named without wildcards is missing. "
        "A bad one keeps its last good targets.",
        "exporter",
        ("pattern",),
    ),
)

_WORKFLOWS = (
    counter(
        "mcp_workflow_runs_total",
        "Workflow runs by how they ended.",
        "exporter",
        ("workflow", "outcome"),
        outcome=words_of(words.RunOutcome),
    ),
    histogram(
        "mcp_workflow_run_duration_seconds", "How long ended runs took.", "exporter", ("workflow",), WORKFLOW_BUCKETS
    ),
    gauge("mcp_workflow_runs_in_progress", "Runs under way, by phase.", "exporter", ("workflow", "phase")),
    gauge("mcp_workflow_queue_depth", "Runs waiting to start.", "exporter", ("workflow",)),
    gauge(
        "mcp_workflow_queue_oldest_seconds", "How long the oldest run has waited to start.", "exporter", ("workflow",)
    ),
    histogram(
        "mcp_workflow_step_duration_seconds", "How long steps took.", "exporter", ("workflow", "step"), WORKFLOW_BUCKETS
    ),
    counter("mcp_workflow_step_failures_total", "Steps that failed.", "exporter", ("workflow", "step")),
    histogram(
        "mcp_workflow_iterations", "Iterations that ended runs needed.", "exporter", ("workflow",), ITERATION_BUCKETS
    ),
    gauge(
        "mcp_workflow_human_pending",
        "Runs that wait for a person.",
        "exporter",
        ("workflow", "kind"),
        kind=words_of(words.HumanKind),
    ),
    gauge(
        "mcp_workflow_human_oldest_wait_seconds",
        "How long the oldest of them has waited.",
        "exporter",
        ("workflow", "kind"),
        kind=words_of(words.HumanKind),
    ),
    gauge("mcp_workflow_last_success_timestamp_seconds", "When a run last completed.", "exporter", ("workflow",)),
    gauge("mcp_workflow_source_up", "Whether the workflow engine's statistics could be read.", "exporter", ("source",)),
)

_HEALTH = (
    gauge(
        "mcp_system_health_score",
        "Health of the whole system, 0 to 100: healthy from 90 on, unhealthy below 50; absent while unknown.",
        "exporter",
    ),
    gauge(
        "mcp_component_health_score",
        "Health of one part of the system, 0 to 100; absent while unknown.",
        "exporter",
        ("component",),
        component=words_of(words.HealthComponent),
    ),
)

_REQUESTS = (
    histogram(
        "mcp_server_operation_duration_seconds",
        "How long MCP operations took, from request received to result sent.",
        "sidecar",
        (
            "agent_type",
            "mcp_method_name",
            "gen_ai_tool_name",
            "error_type",
            "rpc_response_status_code",
            "mcp_protocol_version",
        ),
        MCP_BUCKETS,
    ),
)

_AUTH = (
    counter(
        "mcp_auth_authentications_total",
        "Authentications by result and reason.",
        "sidecar",
        ("result", "reason"),
        result=words_of(words.AuthResult),
        reason=_REASONS,
    ),
    counter(
        "mcp_auth_authorizations_total",
        "Authorizations by result, reason and deciding role.",
        "sidecar",
        ("result", "reason", "role"),
        result=words_of(words.AuthzResult),
        reason=_AUTHZ_REASONS,
    ),
    histogram(
        "mcp_auth_decision_duration_seconds",
        "How long decisions took.",
        "sidecar",
        ("mode",),
        DECISION_BUCKETS,
        mode=("proxy", "forward"),
    ),
    counter("mcp_auth_lockouts_total", "Clients locked out after repeated failures.", "sidecar"),
    gauge("mcp_auth_locked_clients", "Clients locked out now.", "sidecar"),
    gauge("mcp_auth_tokens_revoked", "Revocations in force.", "sidecar"),
    gauge("mcp_auth_jwks_last_refresh_timestamp_seconds", "When keys were last fetched.", "sidecar", ("issuer",)),
    counter(
        "mcp_auth_jwks_refreshes_total",
        "Fetches of an issuer's keys.",
        "sidecar",
        ("issuer", "result"),
        result=("success", "failure"),
    ),
    counter(
        "mcp_auth_token_cache_requests_total",
        "Look-ups of verified tokens.",
        "sidecar",
        ("result",),
        result=("hit", "miss"),
    ),
    counter(
        "mcp_auth_hidden_items_total",
        "Entries left out of lists because the caller may not use them.",
        "sidecar",
        ("kind",),
        kind=("tools", "prompts", "resources"),
    ),
    counter(
        "mcp_auth_shadow_denials_total",
        "Requests that passed in shadow mode although they would have been denied.",
        "sidecar",
        ("reason", "role"),
    ),
    counter(
        "mcp_auth_fail_open_total", "Controls bypassed because the configuration says so.", "sidecar", ("control",)
    ),
)

_AUDIT = (
    counter(
        "mcp_audit_events_total", "Audit records written.", "sidecar", ("event",), event=words_of(words.AuditEvent)
    ),
    gauge("mcp_sidecar_workers", "Worker processes that answer, where there are several.", "sidecar"),
    counter("mcp_sidecar_worker_deaths_total", "Workers that died and were replaced.", "sidecar"),
    counter("mcp_sidecar_background_failures_total", "Background tasks that failed and began again.", "sidecar"),
    gauge("mcp_audit_chain_length", "Records in an audit chain.", "sidecar", ("chain",)),
    gauge("mcp_audit_chain_head", "First 52 bits of the chain's head hash, as a number.", "sidecar", ("chain",)),
    gauge("mcp_audit_verified_length", "Records the background verifier has found whole.", "sidecar", ("chain",)),
    gauge("mcp_audit_chain_broken", "Whether the verifier found the chain broken.", "sidecar", ("chain",)),
    counter("mcp_audit_write_errors_total", "Audit records that could not be written.", "sidecar"),
    counter(
        "mcp_encryption_operations_total",
        "Sealing and opening of sensitive fields.",
        "sidecar",
        ("operation", "result"),
        operation=("encrypt", "decrypt"),
        result=("success", "failure"),
    ),
    gauge("mcp_encryption_key_age_seconds", "Age of an encryption key.", "sidecar", ("key_id", "classification")),
)

_DEMO = (gauge("mcp_demo_fault_active", "Whether the demo breaks this on purpose now.", "demo", ("fault",)),)

_SERVICES = (
    Metric("mcp_build_info", Kind.GAUGE, "Version of the service; always 1.", _ALL, ("service", "version")),
    Metric(
        "mcp_config_last_reload_successful",
        Kind.GAUGE,
        "Whether the last reading of the configuration was good.",
        _ALL,
        ("service",),
    ),
    Metric(
        "mcp_config_last_reload_success_timestamp_seconds",
        Kind.GAUGE,
        "When a good configuration was last read.",
        _ALL,
        ("service",),
    ),
    Metric(
        "mcp_series_dropped_total",
        Kind.COUNTER,
        "Samples dropped because the metric has reached its cap of label sets.",
        _ALL,
        ("service", "metric"),
    ),
    Metric(
        "mcp_trace_spans_total",
        Kind.COUNTER,
        "Ended spans by what became of them; 0 while tracing is off.",
        _ALL,
        ("service", "result"),
        {"result": ("exported", "queue_full", "export_failed")},
    ),
)

CATALOGUE: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (*_AGENTS, *_WORKFLOWS, *_HEALTH, *_REQUESTS, *_AUTH, *_AUDIT, *INCIDENTS, *_DEMO, *_SERVICES)
}
"""Every metric by its exposed name."""
