"""The decision itself: what is known of a request, the rules in force, and the pure function from one to the other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from auth_sidecar import audit_chain, rbac
from auth_sidecar.encryption import AuditSealing
from auth_sidecar.identity import CertificateRule
from auth_sidecar.operations import AUTHENTICATED, Action, OperationMap, Refused
from auth_sidecar.principal import Principal
from auth_sidecar.rbac import NO_ROLE
from auth_sidecar.tokens import Verifier
from contract.tracing import Span
from contract.vocabulary import AuditEvent, AuthReason

PROXY = "proxy"
FORWARD = "forward"
MAX_KNOWN = 10_000
"""Decisions that are remembered; names come from clients."""
_SHADOWED = frozenset({AuthReason.NO_PERMISSION, AuthReason.UNMAPPED_OPERATION, AuthReason.INSUFFICIENT_SCOPE})


@dataclass(frozen=True)
class Endpoint:
    """A protected MCP endpoint: its name in roles and records, its permissions, and the server behind it."""

    path: str
    agent: str
    agent_type: str
    upstream: str
    operations: OperationMap
    workflow: str | None = None
    headers_are_validated: bool = False
    is_shadow: bool = False
    """Permissions are judged and counted here, but nothing is denied for want of one."""
    filters_lists: bool = True


@dataclass(slots=True)
class Ask:
    """What an adapter knows of a request before anybody is believed."""

    mode: str
    http_method: str
    client: str
    """Address of the client."""
    endpoint: Endpoint | None
    """What the request is for; once decided, as it was configured at that moment."""
    host: str
    origin: str | None
    authorizations: tuple[str, ...]
    """Every Authorization header that came."""
    has_query_token: bool = False
    request_id: str = ""
    certificate: Mapping[str, Any] | None = None
    """The client's certificate as `ssl` describes it, verified, where TLS ends here."""
    arguments: Mapping[str, Any] | None = None
    """Arguments of the call, once its body has been read."""
    traceparent: str | None = None
    """The caller's trace context, as its header says."""
    span: Span | None = None
    """The span that is recorded of this request, once the caller is known."""

    def token(self) -> str | AuthReason:
        """Return the bearer token, or why there is none; RFC 6750, section 2.1 is the only way to send one."""
        if self.has_query_token or len(self.authorizations) > 1:
            return AuthReason.MALFORMED_HEADER
        if not self.authorizations:
            return AuthReason.MISSING_AUTH_HEADER
        scheme, _, token = self.authorizations[0].partition(" ")
        if scheme.lower() != "bearer" or not token or " " in token or not token.isascii():
            return AuthReason.MALFORMED_HEADER
        return token


def printable(request_id: str) -> str:
    """Return a client's request id as far as it may be written down."""
    return request_id[:128] if request_id.isascii() and request_id.isprintable() else ""


def has_query_token(query: str) -> bool:
    """Whether a query string carries an access token (RFC 6750, section 2.3), however it is spelt."""
    # Some servers separate by semicolons too (HTML 4.01, appendix B.2.2).
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True) if query else ()
    return any(name.lower() == "access_token" for name, _ in pairs)


class Decision(NamedTuple):
    """What was decided; holds nothing of the single request or caller, so that it serves all with the same rights."""

    event: AuditEvent
    reason: AuthReason
    status: int
    """200 for an allowed request, else the HTTP status that refuses it."""
    method: str = ""
    name: str = ""
    permission: str = ""
    role: str = NO_ROLE
    rule: str = ""
    scopes: tuple[str, ...] = ()
    """All scopes that the operation needs, when one is lacking."""
    shadow: AuthReason | None = None
    """Why the request would have been denied, had it not been for shadow mode."""
    record: bytes = b""
    """The part of the audit record that is the same for every request decided like this."""
    principal: Principal | None = None
    """Who asked; set by whoever asks for one decision at a time."""

    @property
    def is_allowed(self) -> bool:
        """Whether the request may pass."""
        return self.status == 200


@dataclass(frozen=True)
class Rules:
    """Everything a decision depends on besides the request: a snapshot of one configuration, replaced as a whole."""

    policy: rbac.Policy
    endpoints: Mapping[str, Endpoint]
    """Protected endpoints by exact path."""
    verifier: Verifier
    hosts: frozenset[str]
    """Host names answered, in lower case, with port or without (then any port)."""
    origins: re.Pattern[str] | None = None
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Permission -> scopes it needs besides the role."""
    scope_includes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    certificates: tuple[CertificateRule, ...] = ()
    allows_unaudited: bool = False
    sealing: AuditSealing | None = None
    known: dict[tuple[object, ...], Decision] = field(default_factory=dict)
    """Decisions already made under these rules, which go with them."""

    def refuses_before_credentials(self, ask: Ask) -> AuthReason | None:
        """Return why a request is refused whoever sends it: a foreign Origin or Host (DNS rebinding)."""
        if ask.origin is not None and not (self.origins and self.origins.fullmatch(ask.origin)):
            return AuthReason.ORIGIN_NOT_ALLOWED
        if ask.host not in self.hosts and not self._answers(ask.host.lower()):
            return AuthReason.ORIGIN_NOT_ALLOWED
        return None

    def _answers(self, host: str) -> bool:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        return host in self.hosts or name in self.hosts or name.strip("[]") in self.hosts


def authorize(rules: Rules, principal: Principal, path: str | None, action: Action | Refused) -> Decision:
    """Decide whether an authenticated caller may do something; callers with the same rights are decided about once.

    The endpoint is looked up here, so that no decision mixes two configurations: a request may have come, and a stream
    have been opened, under another one.
    """
    if isinstance(action, Refused):
        return Decision(AuditEvent.AUTHZ_DENY, action.reason, action.status)
    endpoint = rules.endpoints.get(path) if path is not None else None
    if endpoint is None:
        return Decision(AuditEvent.AUTHZ_DENY, AuthReason.UNMAPPED_OPERATION, 404, action.method, action.name)
    key = (principal.roles, principal.scopes, endpoint.path, action.method, action.name)
    known = rules.known.get(key)
    if known is None:
        known = _shadowed(endpoint, _judge(rules, principal, endpoint, action))
        if len(rules.known) >= MAX_KNOWN:
            rules.known.clear()
        rules.known[key] = known = known._replace(record=decision_record(endpoint, known))
    if known.is_allowed and not known.shadow:
        for method, name in action.uses:
            used = authorize(rules, principal, path, Action(method, name))
            if not used.is_allowed or used.shadow:
                return used._replace(method=action.method, record=b"")
    return known


def decision_record(endpoint: Endpoint | None, decision: Decision) -> bytes:
    """Return what audit records of equal decisions have in common: what, where, how and by which rule."""
    fields: dict[str, object] = {
        "event": decision.event,
        "reason": decision.reason,
        "status": decision.status,
        "agent": endpoint.agent if endpoint else "",
        "agent_type": endpoint.agent_type if endpoint else "",
        "method": decision.method,
        "name": decision.name,
        "permission": decision.permission,
        "role": decision.role if decision.role != NO_ROLE else "",
        "rule": decision.rule,
        "shadow": decision.shadow or "",
    }
    return audit_chain.fragment({name: value for name, value in fields.items() if value})


def _shadowed(endpoint: Endpoint, decided: Decision) -> Decision:
    """In shadow mode, let pass with a mark what would be denied for want of a right."""
    if not endpoint.is_shadow or decided.reason not in _SHADOWED:
        return decided
    return decided._replace(event=AuditEvent.AUTHZ_ALLOW, reason=AuthReason.OK, status=200, shadow=decided.reason)


def _judge(rules: Rules, principal: Principal, endpoint: Endpoint, action: Action) -> Decision:
    decided = Decision(AuditEvent.AUTHZ_DENY, AuthReason.UNMAPPED_OPERATION, 403, action.method, action.name)
    permission = endpoint.operations.permission(action.method, action.name)
    if permission is None:
        return decided
    needed = rules.scopes.get(permission, ())
    decided = decided._replace(permission=permission, scopes=needed)
    if not covered(principal.scopes, needed, rules.scope_includes):
        return decided._replace(reason=AuthReason.INSUFFICIENT_SCOPE)
    if permission == AUTHENTICATED:
        return decided._replace(event=AuditEvent.AUTH_SUCCESS, reason=AuthReason.OK, status=200)
    tool = action.name if action.method == "tools/call" else None
    resource = rbac.Resource(endpoint.agent, endpoint.agent_type, tool, endpoint.workflow)
    verdict = rbac.decide(rules.policy, principal.roles, permission, resource)
    decided = decided._replace(role=verdict.role, rule=verdict.rule)
    if not verdict.is_allowed:
        return decided._replace(reason=AuthReason.NO_PERMISSION)
    return decided._replace(event=AuditEvent.AUTHZ_ALLOW, reason=AuthReason.OK, status=200)


def covered(held: frozenset[str], needed: tuple[str, ...], includes: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether scopes, and what they stand for, cover all that is needed."""
    if not needed:
        return True
    known, queue = set(held), list(held)
    while queue:
        for scope in includes.get(queue.pop(), ()):
            if scope not in known:
                known.add(scope)
                queue.append(scope)
    return known.issuperset(needed)
