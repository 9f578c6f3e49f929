"""What the admin port offers besides metrics and health, and to whom; each change of revocations is an audit record."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import orjson
import pydantic
from aiohttp import web

from auth_sidecar import audit_chain
from auth_sidecar.audit_log import AuditLog
from auth_sidecar.revocation import Revocation, Revocations
from contract.fields import SecretFile
from contract.networks import address_of, is_passed_on
from contract.vocabulary import AuditEvent

logger = logging.getLogger(__name__)


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
    return address_of(name) is not None or (bool(name) and "." not in name)


class AdminGuard:
    """Who may change something: whoever has the token; where none is set, anybody on this machine but a web page.

    A proxy on this machine that says in no header what it does cannot be told from this machine; hence the token.
    """

    def __init__(self, token_file: Callable[[], SecretFile | None]) -> None:
        """Take what returns the file of the token in force."""
        self._token_file = token_file

    def refuses(self, request: web.BaseRequest) -> web.Response | None:
        """Return the refusal of a request, None when it may change something."""
        if is_of_a_web_page(request):
            return web.Response(status=403, text="not for web pages\n")
        file = self._token_file()
        if file is None:
            if _is_of_this_machine(request.remote or "") and not is_passed_on(request.headers):
                return None
            return web.Response(status=403, text="not from another machine while admin.token_file is not set\n")
        try:
            expected = f"Bearer {file.read()}".encode()
        except (OSError, ValueError) as error:
            logger.error("the token of the admin port cannot be read", extra={"problem": str(error)})
            return web.Response(status=500, text="the token cannot be read\n")
        if hmac.compare_digest(request.headers.get("Authorization", "").encode("utf-8", "replace"), expected):
            return None
        logger.warning("a change at the admin port was refused", extra={"client": request.remote})
        headers = {"WWW-Authenticate": "Bearer"}
        return web.Response(status=401, text="the token of admin.token_file is needed\n", headers=headers)


def _is_of_this_machine(peer: str) -> bool:
    address = address_of(peer)
    return address is not None and address.is_loopback


class RevocationPages:
    """GET and POST /-/revocations; a change is written down, and known to all workers, before it is answered."""

    def __init__(
        self,
        revocations: Revocations,
        audit: AuditLog,
        guard: AdminGuard,
        spread: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Take what tells all workers, where there are several."""
        self._revocations = revocations
        self._audit = audit
        self._guard = guard
        self._spread = spread

    def setup(self, app: web.Application) -> None:
        """Add the pages to an application."""
        app.router.add_get("/-/revocations", self._listed)
        app.router.add_post("/-/revocations", self._add)

    async def _listed(self, request: web.Request) -> web.Response:
        return self._guard.refuses(request) or web.json_response(self._revocations.listed())

    async def _add(self, request: web.Request) -> web.Response:
        refusal = self._guard.refuses(request)
        if refusal is not None:
            return refusal
        if request.content_type != "application/json":  # keeps forms of foreign web pages out
            return web.Response(status=415, text="send application/json\n")
        try:
            revocation = Revocation.model_validate(orjson.loads(await request.read()))
        except pydantic.ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
            return web.Response(
                status=400, text=f"not a revocation: {said} (keys: {', '.join(Revocation.model_fields)})\n"
            )
        except ValueError:
            return web.Response(status=400, text="not JSON\n")
        try:
            self._revocations.add(revocation)
        except OSError as error:
            return web.Response(status=500, text=f"could not be written: {error.strerror}\n")
        return await self._recorded(revocation)

    async def _recorded(self, revocation: Revocation) -> web.Response:
        fields = revocation.model_dump(exclude_defaults=True)
        body = audit_chain.fragment({"event": AuditEvent.ADMIN, "action": "revoked", "revocation": fields})
        is_written = await self._audit.append(AuditEvent.ADMIN, body)
        if self._spread and not await self._spread():
            return web.Response(status=500, text="revoked, but not every worker knows it yet\n")
        if not is_written:
            return web.Response(status=500, text="not recorded\n")
        lasting = "" if self._revocations.are_kept else " until the next start, as revocations_file is not set"
        return web.Response(status=201, text=f"revoked{lasting}\n")
