"""What the admin port offers besides metrics and health: revocations, each change of them an audit record."""

import orjson
import pydantic
from aiohttp import web

from auth_sidecar import audit_chain
from auth_sidecar.audit_log import AuditLog
from auth_sidecar.revocation import Revocation, Revocations
from contract.vocabulary import AuditEvent

MAX_BYTES = 65536


def setup_revocations(app: web.Application, revocations: Revocations, audit: AuditLog) -> None:
    """Add GET and POST /-/revocations; a change is written down before it is answered."""

    async def listed(_request: web.Request) -> web.Response:
        return web.json_response(revocations.listed())

    async def add(request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # keeps forms of foreign web pages out
            return web.Response(status=415, text="send application/json\n")
        try:
            revocation = Revocation.model_validate(orjson.loads(await request.content.read(MAX_BYTES)))
        except (ValueError, pydantic.ValidationError):
            return web.Response(status=400, text="not a revocation; give token_id, subject or issued_before\n")
        try:
            revocations.add(revocation)
        except OSError as error:
            return web.Response(status=500, text=f"could not be written: {error.strerror}\n")
        fields = revocation.model_dump(exclude_defaults=True)
        body = audit_chain.fragment({"event": AuditEvent.ADMIN, "action": "revoked", "revocation": fields})
        is_written = await audit.append(AuditEvent.ADMIN, body)
        return web.Response(status=201 if is_written else 500, text="revoked\n" if is_written else "not recorded\n")

    app.router.add_get("/-/revocations", listed)
    app.router.add_post("/-/revocations", add)
