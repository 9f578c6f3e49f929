"""The one path of every request: credentials, principal, action, decision, audit record, metrics, answer.

Proxy and forward-auth are adapters of this module. Exactly one record is written for each decision, before anybody is
answered; whatever nobody foresaw is a denial, logged and counted.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from auth_sidecar import audit_chain
from auth_sidecar.decision import Ask, Decision, Endpoint, Rules, authorize
from auth_sidecar.gate_metrics import GateMetrics
from auth_sidecar.identity import certificate_principal
from auth_sidecar.key_source import KeySource
from auth_sidecar.limits import Lockout, RateLimit, client_of
from auth_sidecar.operations import Action, Refused
from auth_sidecar.principal import Principal
from auth_sidecar.rbac import NO_ROLE
from auth_sidecar.revocation import Revocations
from auth_sidecar.token_cache import Caller, TokenCache
from auth_sidecar.tokens import Refusal
from contract.metrics import Instruments
from contract.vocabulary import AuditEvent, AuthReason

logger = logging.getLogger(__name__)

Decided = Callable[[Caller | Refusal | None, Decision], None]
ReadAction = Callable[[Principal], Awaitable[Action | Refused]]

MAX_DECISIONS = 256
"""Decisions that are remembered for one caller."""
_ERRORS = frozenset({AuthReason.INTERNAL_ERROR, AuthReason.KEYS_UNAVAILABLE})
_NOT_AN_ATTEMPT = frozenset({AuthReason.MISSING_AUTH_HEADER, AuthReason.LOCKED_OUT, *_ERRORS})
"""Failures that say nothing about who tries; they lock nobody out."""
_MAY_BE_NEW_KEY = frozenset({AuthReason.UNKNOWN_KEY, AuthReason.INVALID_SIGNATURE})


class AuditWriter(Protocol):
    """Where records go; see `audit_log.AuditLog`."""

    def submit(self, event: AuditEvent, body: bytes, done: Callable[[bool], None]) -> None:
        """Write a record and tell whether it is in the log."""


class Gate:
    """Decides, records and counts; `rules` may be replaced between two requests."""

    def __init__(
        self,
        rules: Rules,
        *,
        sources: Mapping[str, KeySource],
        cache: TokenCache,
        lockout: Lockout,
        rate: RateLimit,
        revocations: Revocations,
        audit: AuditWriter,
        instruments: Instruments,
    ) -> None:
        """Take the rules in force and the key sources by the issuer's configured name."""
        self.rules = rules
        self.sources = sources
        self.lockout = lockout
        self.rate = rate
        self.revocations = revocations
        self._cache = cache
        self._audit = audit
        self._metrics = GateMetrics(instruments)

    async def decide(self, ask: Ask, read_action: ReadAction) -> Decision:
        """Decide about a request whose action has to be awaited; the action is read only of authenticated callers."""
        started = time.perf_counter()
        waited = 0.0
        try:
            caller = self.authenticate(ask)
            if isinstance(caller, Refusal) and self.may_be_new_key(caller):
                await self.sources[caller.issuer].refetch()
                caller = self.authenticate(ask)
            if isinstance(caller, Refusal):
                decision = refused(caller)
            else:
                waiting = time.perf_counter()
                action = await read_action(caller.principal)
                waited = time.perf_counter() - waiting
                decision = self.authorize(caller, ask.endpoint, action)
        except Exception:
            decision = surprise()
        return await self._recorded(ask, decision, started + waited)

    def decide_now(self, ask: Ask, action: Action | Refused, decided: Decided) -> bool:
        """Decide without waiting for anything but the record; False, and nothing done, when keys must be fetched."""
        started = time.perf_counter()
        caller: Caller | Refusal | None = None
        try:
            caller = self.authenticate(ask)
            if isinstance(caller, Caller):
                decision = self.authorize(caller, ask.endpoint, action)
            elif self.may_be_new_key(caller):
                return False
            else:
                decision = refused(caller)
        except Exception:
            decision = surprise()
        self.record(ask, decision, started, functools.partial(decided, caller))
        return True

    def authenticate(self, ask: Ask) -> Caller | Refusal:
        """Say who asks, or why that cannot be believed."""
        reason = self.rules.refuses_before_credentials(ask)
        if reason:
            return Refusal(reason)
        if self.rate.rules and not self.rate.admits(client_of(ask.client)):
            return Refusal(AuthReason.LOCKED_OUT)
        token = ask.token()
        if isinstance(token, AuthReason):
            return self._by_certificate(ask, token)
        known = self._cache.get(token)
        self._metrics.looked_up(known is not None)
        if known is not None:
            return known
        if self.lockout.is_locked(client_of(ask.client)):
            return Refusal(AuthReason.LOCKED_OUT)
        caller = self._still_valid(self.rules.verifier.verify(token))
        if isinstance(caller, Caller):
            self._cache.put(token, caller)
        return caller

    def _by_certificate(self, ask: Ask, missing: AuthReason) -> Caller | Refusal:
        """Authenticate a request without token by its client certificate."""
        if missing is AuthReason.MISSING_AUTH_HEADER and ask.certificate:
            principal = certificate_principal(ask.certificate, self.rules.certificates)
            if principal is not None:
                return self._still_valid(principal)
        return Refusal(missing)

    def _still_valid(self, found: Principal | Refusal) -> Caller | Refusal:
        """Refuse what has been revoked, and everybody while the revocations are unknown."""
        if isinstance(found, Refusal):
            return found
        if not self.revocations.is_readable:
            return Refusal(AuthReason.INTERNAL_ERROR, found.issuer)
        if self.revocations.is_revoked(found):
            return Refusal(AuthReason.REVOKED, found.issuer)
        return Caller(found)

    def authorize(self, caller: Caller, endpoint: Endpoint | None, action: Action | Refused) -> Decision:
        """Decide what a caller may do; the same question is answered from memory until the rules change."""
        if endpoint is None or isinstance(action, Refused):
            return authorize(self.rules, caller.principal, endpoint, action)
        key = (endpoint.path, action.method, action.name)
        known = caller.decisions.get(key)
        if known is None:
            known = authorize(self.rules, caller.principal, endpoint, action)
            known = known._replace(record=_decision_record(endpoint, known))
            if len(caller.decisions) >= MAX_DECISIONS:
                caller.decisions.clear()
            caller.decisions[key] = known
        return known

    def may(self, principal: Principal, endpoint: Endpoint, method: str, name: str) -> bool:
        """Whether a call would be allowed; for filtering lists, so nothing is recorded or counted."""
        return authorize(self.rules, principal, endpoint, Action(method, name)).is_allowed

    def may_be_new_key(self, refusal: Refusal) -> bool:
        """Whether the issuer's keys may be fetched once more because of this refusal."""
        source = self.sources.get(refusal.issuer)
        return source is not None and refusal.reason in _MAY_BE_NEW_KEY and source.may_refetch()

    def record(self, ask: Ask, decision: Decision, started: float, decided: Callable[[Decision], None]) -> None:
        """Write the record of a decision, count it, and only then hand it on."""
        if decision.event is AuditEvent.AUTH_FAILURE and decision.reason not in _NOT_AN_ATTEMPT:
            self.lockout.failed(client_of(ask.client))
        body = record_of(ask, decision)

        def settle(is_written: bool) -> None:
            final = decision if is_written else self._unwritten(decision)
            self._metrics.decided(ask.mode, final, time.perf_counter() - started)
            decided(final)

        self._audit.submit(decision.event, body, settle)

    async def _recorded(self, ask: Ask, decision: Decision, started: float) -> Decision:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

        def settle(final: Decision) -> None:
            if not future.done():
                future.set_result(final)

        self.record(ask, decision, started, settle)
        return await future

    def _unwritten(self, decision: Decision) -> Decision:
        """Return what becomes of a decision that is not in the log."""
        if not decision.is_allowed:
            return decision
        if self.rules.allows_unaudited:
            self._metrics.bypassed("audit")
            return decision
        return Decision(AuditEvent.AUTHZ_ERROR, AuthReason.INTERNAL_ERROR, 503, decision.principal)


def refused(refusal: Refusal) -> Decision:
    """Return the decision that follows from a refused credential."""
    event = AuditEvent.AUTH_ERROR if refusal.reason in _ERRORS else AuditEvent.AUTH_FAILURE
    return Decision(event, refusal.reason, _AUTHENTICATION_STATUS.get(refusal.reason, 401), issuer=refusal.issuer)


def surprise() -> Decision:
    """Return the denial for an error that nobody foresaw; call it where the error is being handled."""
    logger.exception("a decision failed and became a denial")
    return Decision(AuditEvent.AUTH_ERROR, AuthReason.INTERNAL_ERROR, 500)


_AUTHENTICATION_STATUS = {
    AuthReason.ORIGIN_NOT_ALLOWED: 403,
    AuthReason.LOCKED_OUT: 429,
    AuthReason.KEYS_UNAVAILABLE: 503,
    AuthReason.INTERNAL_ERROR: 500,
}


def record_of(ask: Ask, decision: Decision) -> bytes:
    """Return the audit record of a decision; never a credential."""
    request = {"client": ask.client, "http_method": ask.http_method, "mode": ask.mode}
    if ask.request_id:
        request["request_id"] = ask.request_id
    return audit_chain.fragment(request) + b"," + (decision.record or _decision_record(ask.endpoint, decision))


def _decision_record(endpoint: Endpoint | None, decision: Decision) -> bytes:
    """Return what is the same for every request decided like this: who, what, where, how and by which rule."""
    principal = decision.principal
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
        "issuer": decision.issuer,
    }
    if principal:
        fields |= {
            "actor": principal.subject,
            "actor_kind": principal.kind,
            "client_id": principal.client_id,
            "issuer": principal.issuer,
            "auth_method": principal.method,
            "token_id": principal.token_id,
            "roles": principal.roles,
        }
    return audit_chain.fragment({name: value for name, value in fields.items() if value})
