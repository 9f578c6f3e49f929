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
from auth_sidecar.decision import Ask, Decision, Rules, authorize, decision_record
from auth_sidecar.gate_metrics import GateMetrics
from auth_sidecar.identity import certificate_principal
from auth_sidecar.key_source import KeySource
from auth_sidecar.limits import Lockout, RateLimit, client_of
from auth_sidecar.operations import Action, Refused
from auth_sidecar.principal import Principal
from auth_sidecar.records import record_of
from auth_sidecar.revocation import Revocations
from auth_sidecar.token_cache import Caller, TokenCache, key_of
from auth_sidecar.tokens import Refusal
from contract.instruments import Instruments
from contract.tracing import Tracer
from contract.vocabulary import AuditEvent, AuthReason

logger = logging.getLogger(__name__)

Decided = Callable[[Caller | Refusal | None, Decision], None]
ReadAction = Callable[[Principal], Awaitable[Action | Refused]]

STREAM_LEEWAY_SECONDS = 30.0
"""How long a stream without end may outlast its token."""
_ERRORS = frozenset({AuthReason.INTERNAL_ERROR, AuthReason.KEYS_UNAVAILABLE})
_NOT_AN_ATTEMPT = frozenset({
    AuthReason.MISSING_AUTH_HEADER, AuthReason.MALFORMED_REQUEST, AuthReason.ORIGIN_NOT_ALLOWED,
    AuthReason.LOCKED_OUT, *_ERRORS,
})  # fmt: skip
"""Failures that lock nobody out: they say nothing about who tries; a web page sends its Origin for its reader."""
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
        tracer: Tracer | None = None,
    ) -> None:
        """Take the rules in force and the key sources by the issuer's configured name."""
        self.tracer = tracer
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
        caller: Caller | Refusal | None = None
        try:
            caller = self.authenticate(ask)
            if isinstance(caller, Refusal) and self.may_be_new_key(caller):
                try:
                    await self.sources[caller.issuer].refetch()
                except asyncio.CancelledError:
                    # Whoever leaves in between has tried all the same.
                    self.record(ask, caller, refused(caller), started, lambda _final: None)
                    raise
                caller = self.authenticate(ask)
            if isinstance(caller, Refusal):
                decision = refused(caller)
            else:
                waiting = time.perf_counter()
                try:
                    action = await read_action(caller.principal)
                except asyncio.CancelledError:
                    left = self._authorize(ask, caller.principal, Refused(AuthReason.MALFORMED_REQUEST, 400))
                    self.record(ask, caller, left, started, lambda _final: None)
                    raise
                waited = time.perf_counter() - waiting
                # A body takes its time; what was true when its head came may no longer be.
                caller = self._still_valid(caller)
                if isinstance(caller, Refusal):
                    return await self._recorded(ask, caller, refused(caller), started + waited)
                ask.arguments = action.arguments if isinstance(action, Action) else None
                if self.tracer:
                    stated = action.traceparent if isinstance(action, Action) else None
                    ask.span = self.tracer.sampled(stated or ask.traceparent, started)
                decision = self._authorize(ask, caller.principal, action)
        except Exception:
            decision = surprise()
        return await self._recorded(ask, caller, decision, started + waited)

    def decide_now(self, ask: Ask, action: Action | Refused, decided: Decided) -> bool:
        """Decide without waiting for anything but the record; False, and nothing done, when keys must be fetched."""
        started = time.perf_counter()
        caller: Caller | Refusal | None = None
        try:
            caller = self.authenticate(ask)
            if isinstance(caller, Caller):
                if self.tracer:
                    ask.span = self.tracer.sampled(ask.traceparent, started)
                decision = self._authorize(ask, caller.principal, action)
            elif self.may_be_new_key(caller):
                return False
            else:
                decision = refused(caller)
        except Exception:
            decision = surprise()
        self.record(ask, caller, decision, started, functools.partial(decided, caller))
        return True

    def refuse_unread(
        self, mode: str, client: str, reason: AuthReason = AuthReason.MALFORMED_REQUEST, status: int = 400
    ) -> Decision:
        """Refuse, record and count a request that could not, or must not, even be read."""
        ask = Ask(mode, "", client, None, "", None, ())
        decision = Decision(AuditEvent.AUTH_FAILURE, reason, status)
        self.record(ask, None, decision, time.perf_counter(), lambda _final: None)
        return decision

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
        key = key_of(token)
        known = self._cache.get(key)
        self._metrics.looked_up(known is not None)
        if known is not None:
            return known
        if self.lockout.is_locked(client_of(ask.client)):
            return Refusal(AuthReason.LOCKED_OUT)
        found = self.rules.verifier.verify(token)
        caller = found if isinstance(found, Refusal) else self._still_valid(Caller(found))
        if isinstance(caller, Caller):
            self._cache.put(key, caller)
        return caller

    def _by_certificate(self, ask: Ask, missing: AuthReason) -> Caller | Refusal:
        """Authenticate a request without token by its client certificate."""
        if missing is AuthReason.MISSING_AUTH_HEADER and ask.certificate:
            principal = certificate_principal(ask.certificate, self.rules.certificates)
            if principal is not None:
                return self._still_valid(Caller(principal))
        return Refusal(missing)

    def _still_valid(self, caller: Caller) -> Caller | Refusal:
        """Refuse what has been revoked, and everybody while the revocations are unknown."""
        principal = caller.principal
        if not self.revocations.is_readable:
            return Refusal(AuthReason.INTERNAL_ERROR, principal.issuer)
        if self.revocations.is_revoked(principal):
            return Refusal(AuthReason.REVOKED, principal.issuer, principal)
        return caller

    def may_go_on(self, principal: Principal, *, is_endless: bool) -> bool:
        """Whether an answer under way may go on: no right was taken back, and what never ends has a token in force."""
        is_over = is_endless and self._cache.is_over(principal, STREAM_LEEWAY_SECONDS)
        return not is_over and not self.revocations.is_revoked(principal)

    def _authorize(self, ask: Ask, principal: Principal, action: Action | Refused) -> Decision:
        """Decide by the rules of this moment; those at the request's arrival may have been others."""
        rules, path = self.rules, ask.endpoint.path if ask.endpoint else None
        ask.endpoint = rules.endpoints.get(path) if path is not None else None
        return authorize(rules, principal, path, action)

    def may(self, principal: Principal, path: str, method: str, name: str) -> bool:
        """Whether a call would be allowed now; for filtering lists, so nothing is recorded or counted."""
        return authorize(self.rules, principal, path, Action(method, name)).is_allowed

    def may_be_new_key(self, refusal: Refusal) -> bool:
        """Whether the issuer's keys may be fetched once more because of this refusal."""
        source = self.sources.get(refusal.issuer)
        return source is not None and refusal.reason in _MAY_BE_NEW_KEY and source.may_refetch()

    def record(
        self,
        ask: Ask,
        caller: Caller | Refusal | None,
        decision: Decision,
        started: float,
        decided: Callable[[Decision], None],
    ) -> None:
        """Write the record of a decision, count it, and only then hand it on."""
        if decision.event is AuditEvent.AUTH_FAILURE and decision.reason not in _NOT_AN_ATTEMPT:
            self.lockout.failed(client_of(ask.client))
        try:
            body = record_of(ask, caller, decision, self.rules.sealing)
        except Exception:
            decision = surprise()
            body = audit_chain.fragment({"mode": ask.mode}) + b"," + decision_record(ask.endpoint, decision)

        def settle(is_written: bool) -> None:
            final = decision if is_written else self._unwritten(decision)
            self._metrics.decided(ask.mode, final, time.perf_counter() - started, ask.span)
            decided(final)

        self._audit.submit(decision.event, body, settle)

    async def _recorded(
        self, ask: Ask, caller: Caller | Refusal | None, decision: Decision, started: float
    ) -> Decision:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

        def settle(final: Decision) -> None:
            if not future.done():
                future.set_result(final)

        self.record(ask, caller, decision, started, settle)
        final = await future
        return final._replace(principal=caller.principal) if isinstance(caller, Caller) else final

    def _unwritten(self, decision: Decision) -> Decision:
        """Return what becomes of a decision that is not in the log."""
        if not decision.is_allowed:
            return decision
        if self.rules.allows_unaudited:
            self._metrics.bypassed("audit")
            return decision
        return Decision(AuditEvent.AUTHZ_ERROR, AuthReason.INTERNAL_ERROR, 503)


def refused(refusal: Refusal) -> Decision:
    """Return the decision that follows from a refused credential."""
    event = AuditEvent.AUTH_ERROR if refusal.reason in _ERRORS else AuditEvent.AUTH_FAILURE
    return Decision(event, refusal.reason, _AUTHENTICATION_STATUS.get(refusal.reason, 401))


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
