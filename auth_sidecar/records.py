"""What an audit record says of a decision: the request's part, the decision's and the caller's; never a credential."""

from auth_sidecar import audit_chain
from auth_sidecar.decision import Ask, Decision, decision_record
from auth_sidecar.encryption import AuditSealing
from auth_sidecar.principal import Principal
from auth_sidecar.token_cache import Caller
from auth_sidecar.tokens import Refusal


def record_of(
    ask: Ask, caller: Caller | Refusal | None, decision: Decision, sealing: AuditSealing | None = None
) -> bytes:
    """Return the audit record of a decision: the request's part, the decision's and the caller's; no credential."""
    request: dict[str, object] = {"client": ask.client, "http_method": ask.http_method, "mode": ask.mode}
    package = b""
    if ask.request_id:
        request["request_id"] = ask.request_id
    if ask.span:
        request["trace_id"] = ask.span.trace_id
    if sealing:
        package = sealing.apply(request, ask.arguments)
    parts = [audit_chain.fragment(request), decision.record or decision_record(ask.endpoint, decision)]
    if isinstance(caller, Caller):
        if not caller.record:
            caller.record = _caller_record(caller.principal)
        parts.append(caller.record)
    elif caller is not None and caller.principal:
        parts.append(_caller_record(caller.principal))
    elif caller is not None and caller.issuer:
        parts.append(audit_chain.fragment({"issuer": caller.issuer}))
    body = b",".join(parts)
    return body + audit_chain.PACKAGE_MARK + package if package else body


def _caller_record(principal: Principal) -> bytes:
    fields = {
        "actor": principal.subject,
        "actor_kind": principal.kind,
        "client_id": principal.client_id,
        "issuer": principal.issuer,
        "auth_method": principal.method,
        "token_id": principal.token_id,
        "roles": principal.roles,
    }
    return audit_chain.fragment({name: value for name, value in fields.items() if value})
