"""The metric catalogue: every series MCP Lookout emits, and who emits it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contract import vocabulary as words

Values = Mapping[str, tuple[str, ...]]


class Kind(StrEnum):
    """Prometheus metric types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


MCP_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds; boundaries of the OpenTelemetry MCP conventions."""
DECISION_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds an auth decision takes."""
WORKFLOW_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Seconds a workflow run or step takes."""
ITERATION_BUCKETS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
"""Iterations of a workflow run."""


@dataclass(frozen=True)
class Metric:
    """One metric family, as exposed."""

    name: str
    """Full name; counters end in `_total`."""
    kind: Kind
    help: str
    services: tuple[str, ...]
    """Which services emit it."""
    labels: tuple[str, ...] = ()
    values: Values = field(default_factory=dict)
    """Every value of the labels whose set is closed."""
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """Base unit by the name's suffix; empty for plain counts."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in ("timestamp_seconds", "seconds", "bytes", "info") if stem.endswith(unit)), "")


def _words(vocabulary: type[StrEnum]) -> tuple[str, ...]:
    return tuple(word.value for word in vocabulary)


_AGENT = ("agent_type", "agent")
_ALL = ("exporter", "sidecar")
_REASONS = _words(words.AuthReason)
_AUTHZ_REASONS = (
    "ok",
    "header_mismatch",
    "insufficient_scope",
    "no_permission",
    "unmapped_operation",
    "internal_error",
)


def _gauge(name: str, help: str, service: str, labels: Iterable[str] = (), **values: tuple[str, ...]) -> Metric:
    return Metric(name, Kind.GAUGE, help, (service,), tuple(labels), values)


def _counter(name: str, help: str, service: str, labels: Iterable[str] = (), **values: tuple[str, ...]) -> Metric:
    return Metric(name, Kind.COUNTER, help, (service,), tuple(labels), values)


def _histogram(
    name: str, help: str, service: str, labels: Iterable[str], buckets: tuple[float, ...], **values: tuple[str, ...]
) -> Metric:
    return Metric(name, Kind.HISTOGRAM, help, (service,), tuple(labels), values, buckets)


_AGENTS = (
    _gauge("mcp_agent_up", "Whether the last probe found the agent healthy.", "exporter", _AGENT),
    _gauge("mcp_agent_probe_duration_seconds", "How long the last probe took.", "exporter", _AGENT),
    _gauge("mcp_agent_last_probe_timestamp_seconds", "When the agent was last probed.", "exporter", _AGENT),
    _gauge("mcp_agent_last_success_timestamp_seconds", "When the agent was last healthy.", "exporter", _AGENT),
    _gauge(
        "mcp_agent_info",
        "What the agent says it is; always 1.",
        "exporter",
        (*_AGENT, "era", "protocol_version", "server_name", "server_version"),
        era=("modern", "legacy", "none"),
    ),
    _counter(
        "mcp_agent_probes_total",
        "Probes by how they ended.",
        "exporter",
        ("agent_type", "outcome"),
        outcome=_words(words.ProbeOutcome),
    ),
    _histogram("mcp_agent_probe_latency_seconds", "How long probes took.", "exporter", ("agent_type",), MCP_BUCKETS),
    _gauge("mcp_agents_configured", "Agents to be probed.", "exporter", ("agent_type",)),
    _gauge("mcp_agents_healthy", "Agents whose last probe was healthy.", "exporter", ("agent_type",)),
    _gauge("mcp_agent_tools", "Tools the agent lists.", "exporter", _AGENT),
    _gauge(
        "mcp_agent_tool_drift",
        "Tools whose definition differs from the pinned one.",
        "exporter",
        (*_AGENT, "change"),
        change=_words(words.ToolChange),
    ),
    _gauge(
        "mcp_target_file_up",
        "Whether the last reading of a file_sd pattern was good; a bad one keeps its last good targets.",
        "exporter",
        ("pattern",),
    ),
)

_WORKFLOWS = (
    _counter(
        "mcp_workflow_runs_total",
        "Workflow runs by how they ended.",
        "exporter",
        ("workflow", "outcome"),
        outcome=_words(words.RunOutcome),
    ),
    _histogram(
        "mcp_workflow_run_duration_seconds", "How long ended runs took.", "exporter", ("workflow",), WORKFLOW_BUCKETS
    ),
    _gauge("mcp_workflow_runs_in_progress", "Runs under way, by phase.", "exporter", ("workflow", "phase")),
    _gauge("mcp_workflow_queue_depth", "Runs waiting to start.", "exporter", ("workflow",)),
    _gauge(
        "mcp_workflow_queue_oldest_seconds", "How long the oldest run has waited to start.", "exporter", ("workflow",)
    ),
    _histogram(
        "mcp_workflow_step_duration_seconds", "How long steps took.", "exporter", ("workflow", "step"), WORKFLOW_BUCKETS
    ),
    _counter("mcp_workflow_step_failures_total", "Steps that failed.", "exporter", ("workflow", "step")),
    _histogram(
        "mcp_workflow_iterations", "Iterations that ended runs needed.", "exporter", ("workflow",), ITERATION_BUCKETS
    ),
    _gauge(
        "mcp_workflow_human_pending",
        "Runs that wait for a person.",
        "exporter",
        ("workflow", "kind"),
        kind=_words(words.HumanKind),
    ),
    _gauge(
        "mcp_workflow_human_oldest_wait_seconds",
        "How long the oldest of them has waited.",
        "exporter",
        ("workflow", "kind"),
        kind=_words(words.HumanKind),
    ),
    _gauge("mcp_workflow_last_success_timestamp_seconds", "When a run last completed.", "exporter", ("workflow",)),
    _gauge(
        "mcp_workflow_source_up", "Whether the workflow engine's statistics could be read.", "exporter", ("source",)
    ),
)

_HEALTH = (
    _gauge("mcp_system_health_score", "Health of the whole system, 0 to 100.", "exporter"),
    _gauge(
        "mcp_component_health_score",
        "Health of one part of the system, 0 to 100; absent while unknown.",
        "exporter",
        ("component",),
        component=_words(words.HealthComponent),
    ),
)

_REQUESTS = (
    _histogram(
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
    _counter(
        "mcp_auth_authentications_total",
        "Authentications by result and reason.",
        "sidecar",
        ("result", "reason"),
        result=_words(words.AuthResult),
        reason=_REASONS,
    ),
    _counter(
        "mcp_auth_authorizations_total",
        "Authorizations by result, reason and deciding role.",
        "sidecar",
        ("result", "reason", "role"),
        result=_words(words.AuthzResult),
        reason=_AUTHZ_REASONS,
    ),
    _histogram(
        "mcp_auth_decision_duration_seconds",
        "How long decisions took.",
        "sidecar",
        ("mode",),
        DECISION_BUCKETS,
        mode=("proxy", "forward"),
    ),
    _counter("mcp_auth_lockouts_total", "Clients locked out after repeated failures.", "sidecar"),
    _gauge("mcp_auth_locked_clients", "Clients locked out now.", "sidecar"),
    _gauge("mcp_auth_tokens_revoked", "Revocations in force.", "sidecar"),
    _gauge("mcp_auth_jwks_last_refresh_timestamp_seconds", "When keys were last fetched.", "sidecar", ("issuer",)),
    _counter(
        "mcp_auth_jwks_refreshes_total",
        "Fetches of an issuer's keys.",
        "sidecar",
        ("issuer", "result"),
        result=("success", "failure"),
    ),
    _counter(
        "mcp_auth_token_cache_requests_total",
        "Look-ups of verified tokens.",
        "sidecar",
        ("result",),
        result=("hit", "miss"),
    ),
    _counter(
        "mcp_auth_hidden_items_total",
        "Entries left out of lists because the caller may not use them.",
        "sidecar",
        ("kind",),
        kind=("tools", "prompts", "resources"),
    ),
    _counter(
        "mcp_auth_shadow_denials_total",
        "Requests that passed in shadow mode although they would have been denied.",
        "sidecar",
        ("reason", "role"),
    ),
    _counter(
        "mcp_auth_fail_open_total", "Controls bypassed because the configuration says so.", "sidecar", ("control",)
    ),
)

_AUDIT = (
    _counter("mcp_audit_events_total", "Audit records written.", "sidecar", ("event",), event=_words(words.AuditEvent)),
    _gauge("mcp_audit_chain_length", "Records in the audit chain.", "sidecar"),
    _gauge("mcp_audit_chain_head", "First 52 bits of the chain's head hash, as a number.", "sidecar"),
    _gauge("mcp_audit_verified_length", "Records the background verifier has found whole.", "sidecar"),
    _gauge("mcp_audit_chain_broken", "Whether the verifier found the chain broken.", "sidecar"),
    _counter("mcp_audit_write_errors_total", "Audit records that could not be written.", "sidecar"),
    _counter(
        "mcp_encryption_operations_total",
        "Sealing and opening of sensitive fields.",
        "sidecar",
        ("operation", "result"),
        operation=("encrypt", "decrypt"),
        result=("success", "failure"),
    ),
    _gauge("mcp_encryption_key_age_seconds", "Age of an encryption key.", "sidecar", ("key_id", "classification")),
)

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
)

CATALOGUE: Mapping[str, Metric] = {
    metric.name: metric for metric in (*_AGENTS, *_WORKFLOWS, *_HEALTH, *_REQUESTS, *_AUTH, *_AUDIT, *_SERVICES)
}
"""Every metric by its exposed name."""
