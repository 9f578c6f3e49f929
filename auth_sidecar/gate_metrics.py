"""The metrics of decisions; what one loop tick counts is added up first, which is cheaper than counting each alone."""

import asyncio
from collections.abc import Mapping
from typing import Any

from auth_sidecar.decision import Decision
from auth_sidecar.exemplars import Exemplars
from contract.instruments import Instruments
from contract.metrics import CATALOGUE
from contract.tracing import Span
from contract.vocabulary import AuditEvent, AuthReason, AuthResult, AuthzResult

_RESULTS: Mapping[AuditEvent, tuple[AuthResult, AuthzResult | None]] = {
    AuditEvent.AUTH_SUCCESS: (AuthResult.SUCCESS, None),
    AuditEvent.AUTH_FAILURE: (AuthResult.FAILURE, None),
    AuditEvent.AUTH_ERROR: (AuthResult.ERROR, None),
    AuditEvent.AUTHZ_ALLOW: (AuthResult.SUCCESS, AuthzResult.ALLOW),
    AuditEvent.AUTHZ_DENY: (AuthResult.SUCCESS, AuthzResult.DENY),
    AuditEvent.AUTHZ_ERROR: (AuthResult.SUCCESS, AuthzResult.ERROR),
}


DURATION = "mcp_auth_decision_duration_seconds"
CONTROLS = ("audit", "authorization")
"""Controls that a configuration can let fail open."""


class GateMetrics:
    """Counts decisions and look-ups of verified tokens."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._children: dict[tuple[str, ...], Any] = {}
        self._decisions: dict[tuple[AuditEvent, AuthReason, str], int] = {}
        self._lookups = [0, 0]
        self._is_scheduled = False
        # What stands at 0 from the start shows its first burst; a series that begins with one does not.
        for name in ("authentications", "authorizations", "token_cache_requests", "hidden_items"):
            instruments.counter(f"mcp_auth_{name}_total")
        instruments.histogram(DURATION)
        self._exemplars = Exemplars(CATALOGUE[DURATION].buckets)
        for control in CONTROLS:
            self._child("mcp_auth_fail_open_total", control)

    def decided(self, mode: str, decision: Decision, seconds: float, span: Span | None = None) -> None:
        """Count a decision whose record is written; a span becomes the exemplar of its duration."""
        key = (decision.event, decision.reason, decision.role)
        self._decisions[key] = self._decisions.get(key, 0) + 1
        exemplar = self._exemplars.of(mode, seconds, span) if span else None
        self._child(DURATION, mode).observe(seconds, exemplar)
        if decision.shadow:
            self.bypassed("authorization")
            self._child("mcp_auth_shadow_denials_total", decision.shadow, decision.role).inc()
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._add_up)

    def looked_up(self, is_hit: bool) -> None:
        """Count a look-up of a verified token; the decision that follows adds it up."""
        self._lookups[is_hit] += 1

    def bypassed(self, control: str) -> None:
        """Count a request that passed because the configuration switches a control off."""
        self._child("mcp_auth_fail_open_total", control).inc()

    def _add_up(self) -> None:
        decisions, self._decisions = self._decisions, {}
        (misses, hits), self._lookups = self._lookups, [0, 0]
        self._is_scheduled = False
        for (event, reason, role), count in decisions.items():
            result, verdict = _RESULTS[event]
            why = AuthReason.OK if result is AuthResult.SUCCESS else reason
            self._child("mcp_auth_authentications_total", result, why).inc(count)
            if verdict:
                self._child("mcp_auth_authorizations_total", verdict, reason, role).inc(count)
        self._child("mcp_auth_token_cache_requests_total", "miss").inc(misses)
        self._child("mcp_auth_token_cache_requests_total", "hit").inc(hits)

    def _child(self, *key: str) -> Any:
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._instruments.child(*key)
        return child
