"""The decision itself: what is known of a request, the rules in force, and the pure function from one to the other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from auth_sidecar import rbac
from auth_sidecar.operations import AUTHENTICATED, Action, OperationMap, Refused
from auth_sidecar.principal import Principal
from auth_sidecar.rbac import NO_ROLE
from auth_sidecar.tokens import Verifier
from contract.vocabulary import AuditEvent, AuthReason

PROXY = "proxy"
FORWARD = "forward"
_MAX_VERDICTS = 10_000


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


@dataclass(slots=True)
class Ask:
    """What an adapter knows of a request before anybody is believed."""

    mode: str
    http_method: str
    client: str
    """Address of the client."""
    endpoint: Endpoint | None
    host: str
    origin: str | None
    authorizations: tuple[str, ...]
    """Every Authorization header that came."""
    has_query_token: bool = False
    request_id: str = ""

    def token(self) -> str | AuthReason:
        """Return the bearer token, or why there is none; RFC 6750, section 2.1 is the only way to send one."""
        if self.has_query_token or len(self.authorizations) > 1:
            return AuthReason.MALFORMED_HEADER
        if not self.authorizations:
            return AuthReason.MISSING_AUTH_HEADER
        scheme, _, token = self.authorizations[0].partition(" ")
        if scheme.lower() != "bearer" or not token or " " in token:
            return AuthReason.MALFORMED_HEADER
        return token


class Decision(NamedTuple):
    """What was decided; `status` is 200 for an allowed request, else the HTTP status that refuses it."""

    event: AuditEvent
    reason: AuthReason
    status: int
    principal: Principal | None = None
    action: Action | None = None
    permission: str = ""
    role: str = NO_ROLE
    rule: str = ""
    scopes: tuple[str, ...] = ()
    """All scopes that the operation needs, when one is lacking."""
    issuer: str = ""
    message_id: str | int | float | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the request may pass."""
        return self.status == 200


class _Judgement(NamedTuple):
    """The part of a decision that depends on nothing but roles, scopes, endpoint and action."""

    event: AuditEvent
    reason: AuthReason
    status: int
    permission: str
    role: str
    rule: str
    scopes: tuple[str, ...] = ()


@dataclass
class Rules:
    """Everything a decision depends on besides the request; built from one configuration, then only read."""

    policy: rbac.Policy
    verifier: Verifier
    hosts: frozenset[str]
    """Host names answered, in lower case, with port or without (then any port)."""
    origins: re.Pattern[str] | None = None
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Permission -> scopes it needs besides the role."""
    scope_includes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allows_unaudited: bool = False
    _known: dict[tuple[object, ...], _Judgement] = field(default_factory=dict)

    def refuses_before_credentials(self, ask: Ask) -> AuthReason | None:
        """Return why a request is refused whoever sends it: a foreign Origin or Host (DNS rebinding)."""
        if ask.origin is not None and not (self.origins and self.origins.fullmatch(ask.origin)):
            return AuthReason.ORIGIN_NOT_ALLOWED
        if ask.host not in self.hosts and not self._answers(ask.host.lower()):
            return AuthReason.ORIGIN_NOT_ALLOWED
        return None

    def judge(self, principal: Principal, endpoint: Endpoint, action: Action) -> _Judgement:
        """Return the verdict about an action, remembered for callers with the same rights."""
        key = (principal.roles, principal.scopes, endpoint.path, action.method, action.name)
        known = self._known.get(key)
        if known is None:
            known = _judge(self, principal, endpoint, action)
            if len(self._known) >= _MAX_VERDICTS:
                self._known.clear()
            self._known[key] = known
        return known

    def _answers(self, host: str) -> bool:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        return host in self.hosts or name in self.hosts or name.strip("[]") in self.hosts


def authorize(rules: Rules, principal: Principal, endpoint: Endpoint | None, action: Action | Refused) -> Decision:
    """Decide whether an authenticated caller may do something; pure but for the memory of earlier verdicts."""
    if isinstance(action, Refused):
        return Decision(AuditEvent.AUTHZ_DENY, action.reason, action.status, principal, message_id=action.message_id)
    if endpoint is None:
        return Decision(AuditEvent.AUTHZ_DENY, AuthReason.UNMAPPED_OPERATION, 404, principal, action)
    judged = rules.judge(principal, endpoint, action)
    return Decision(
        judged.event, judged.reason, judged.status, principal, action,
        judged.permission, judged.role, judged.rule, judged.scopes, message_id=action.message_id,
    )  # fmt: skip


def _judge(rules: Rules, principal: Principal, endpoint: Endpoint, action: Action) -> _Judgement:
    permission = endpoint.operations.permission(action.method, action.name)
    if permission is None:
        return _Judgement(AuditEvent.AUTHZ_DENY, AuthReason.UNMAPPED_OPERATION, 403, "", NO_ROLE, "not mapped")
    needed = rules.scopes.get(permission, ())
    if not covered(principal.scopes, needed, rules.scope_includes):
        return _Judgement(
            AuditEvent.AUTHZ_DENY, AuthReason.INSUFFICIENT_SCOPE, 403, permission, NO_ROLE, "scope", needed
        )
    if permission == AUTHENTICATED:
        return _Judgement(AuditEvent.AUTH_SUCCESS, AuthReason.OK, 200, permission, NO_ROLE, "any valid token")
    tool = action.name if action.method == "tools/call" else None
    resource = rbac.Resource(endpoint.agent, endpoint.agent_type, tool, endpoint.workflow)
    verdict = rbac.decide(rules.policy, principal.roles, permission, resource)
    if verdict.is_allowed:
        return _Judgement(AuditEvent.AUTHZ_ALLOW, AuthReason.OK, 200, permission, verdict.role, verdict.rule)
    return _Judgement(
        AuditEvent.AUTHZ_DENY, AuthReason.NO_PERMISSION, 403, permission, verdict.role, verdict.rule, needed
    )


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
