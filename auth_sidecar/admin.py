"""What the admin port offers besides metrics and health: revocations, each change of them an audit record."""

import ipaddress
from urllib.parse import urlsplit

import orjson
import pydantic
from aiohttp import web

from auth_sidecar import audit_chain
from auth_sidecar.audit_log import AuditLog
from auth_sidecar.revocation import Revocation, Revocations
from contract.vocabulary import AuditEvent

MAX_BYTES = 65536


def is_of_a_web_page(request: web.BaseRequest) -> bool:
    """Whether a request comes from a page in somebody's browser, by its Origin or by a name bound anew (DNS rebinding).

    Whoever works here asks for an address, this machine, or a host of the same network, whose name has no dot.
    """
    return "Origin" in request.headers or "Sec-Fetch-Site" in request.headers or not _is_near(request.host)


def _is_near(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and "." not in name
    return True


def setup_revocations(app: web.Application, revocations: Revocations, audit: AuditLog) -> None:
    """Add GET and POST /-/revocations; a change is written down before it is answered."""

    async def listed(request: web.Request) -> web.Response:
        if is_of_a_web_page(request):
            return web.Response(status=403, text="not for web pages\n")
        return web.json_response(revocations.listed())

    async def add(request: web.Request) -> web.Response:
        if is_of_a_web_page(request):
            return web.Response(status=403, text="not for web pages\n")
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
