"""Closed vocabularies: each word is at once a metric label, an audit field and an error code."""

from enum import StrEnum

AGENT_TYPES = ("orchestrator", "planner", "validator", "programmer", "documentation", "knowledge_base")
"""Agent types that every configuration has."""


class ProbeOutcome(StrEnum):
    """How one probe of an agent ended."""

    OK = "ok"
    DEGRADED = "degraded"
    TIMEOUT = "timeout"
    CONNECT_ERROR = "connect_error"
    TLS_ERROR = "tls_error"
    HTTP_ERROR = "http_error"
    PROTOCOL_ERROR = "protocol_error"
    AUTH_ERROR = "auth_error"
    TOOL_ERROR = "tool_error"

    @property
    def is_healthy(self) -> bool:
        """Whether an agent with this outcome counts as up; a degraded agent still answers."""
        return self in (ProbeOutcome.OK, ProbeOutcome.DEGRADED)


class ToolChange(StrEnum):
    """How a tool's definition differs from the pinned one."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class RunOutcome(StrEnum):
    """How a workflow run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    MAX_ITERATIONS = "max_iterations"
    REJECTED = "rejected"


class HumanKind(StrEnum):
    """What a workflow waits for from a person."""

    APPROVAL = "approval"
    FEEDBACK = "feedback"
    CLARIFICATION = "clarification"


class AuthResult(StrEnum):
    """Result of an authentication."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class AuthzResult(StrEnum):
    """Result of an authorization."""

    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"


class AuthReason(StrEnum):
    """Why the sidecar decided as it did; `ok` for success and allow."""

    OK = "ok"
    MISSING_AUTH_HEADER = "missing_auth_header"
    MALFORMED_REQUEST = "malformed_request"
    """What came is not HTTP; it says nothing about credentials, as the other reasons do."""
    MALFORMED_HEADER = "malformed_header"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a reason, not a secret
    INVALID_SIGNATURE = "invalid_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    UNKNOWN_KEY = "unknown_key"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    MISSING_CLAIM = "missing_claim"
    REVOKED = "revoked"
    LOCKED_OUT = "locked_out"
    KEYS_UNAVAILABLE = "keys_unavailable"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    HEADER_MISMATCH = "header_mismatch"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NO_PERMISSION = "no_permission"
    UNMAPPED_OPERATION = "unmapped_operation"
    INTERNAL_ERROR = "internal_error"

    @property
    def is_error(self) -> bool:
        """Whether the sidecar could not decide, as opposed to the client having failed."""
        return self in (AuthReason.KEYS_UNAVAILABLE, AuthReason.INTERNAL_ERROR)


class AuditEvent(StrEnum):
    """What an audit record tells of."""

    AUTH_SUCCESS = "auth_success"
    AUTH_FAILURE = "auth_failure"
    AUTH_ERROR = "auth_error"
    AUTHZ_ALLOW = "authz_allow"
    AUTHZ_DENY = "authz_deny"
    AUTHZ_ERROR = "authz_error"
    ADMIN = "admin"


class Severity(StrEnum):
    """How bad an alert is, worst first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    INFO = "info"


class Escalation(StrEnum):
    """Who is told, and when, if nobody acknowledges an alert."""

    IMMEDIATE = "immediate"
    STANDARD = "standard"
    NONE = "none"


class Component(StrEnum):
    """The part of the system that an alert speaks of."""

    AGENTS = "agents"
    WORKFLOWS = "workflows"
    INFRASTRUCTURE = "infrastructure"
    SECURITY = "security"
    SECOPS = "secops"
    LOOKOUT = "lookout"


class HealthComponent(StrEnum):
    """A part of the system health score."""

    AGENTS = "agents"
    INFRASTRUCTURE = "infrastructure"
    WORKFLOWS = "workflows"
    SECURITY = "security"


class WebhookResult(StrEnum):
    """What became of a notification that the incident desk was sent."""

    ACCEPTED = "accepted"
    UNAUTHORIZED = "unauthorized"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    ERROR = "error"


class OddAlert(StrEnum):
    """What the incident desk did with an alert that is too large, or not as Alertmanager sends it."""

    CUT = "cut"
    SKIPPED = "skipped"
