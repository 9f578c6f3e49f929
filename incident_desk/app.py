"""The desk's HTTP side: Alertmanager's webhook, the pages, metrics and health."""

import hmac
import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from contract.instruments import Instruments
from contract.log import RateLimit
from contract.pages.layout import secured
from contract.vocabulary import WebhookResult
from contract.web import Reloader, setup_admin
from incident_desk.alerts import MalformedError, of_webhook
from incident_desk.config import Settings
from incident_desk.desk import Desk
from incident_desk.pages import DeskPages
from incident_desk.store import StoreError

logger = logging.getLogger(__name__)
logger.addFilter(RateLimit())

MAX_FORM_BYTES = 1024 * 1024


def make_app(desk: Desk, instruments: Instruments, reloader: Reloader[Settings]) -> web.Application:
    """Return the application of a running desk."""
    app = web.Application(middlewares=[secured(forms=True), _explained], client_max_size=MAX_FORM_BYTES)
    setup_admin(
        app,
        registry=instruments.registry,
        instruments=instruments,
        is_ready=lambda: desk.has_asked,
        problem=lambda: desk.unwritten,
        reloader=reloader,
    )

    async def alerts(request: web.Request) -> web.Response:
        result, text = await _take(desk, request)
        desk.numbers.notified(result)
        if result is not WebhookResult.ACCEPTED:
            # A message of its own for each result: of each one in half a minute is logged.
            logger.error(f"a notification was not taken: {result}", extra={"problem": text})
        return web.Response(status=_STATUS[result], text=f"{text}\n")

    app.router.add_post("/alerts", alerts)
    DeskPages(desk).setup(app)
    return app


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except StoreError as error:
        what = "Nothing was stored" if request.method == "POST" else "Incidents cannot be shown"
        mend = "tell whoever runs the incident desk, and until then call by hand whom it would call"
        return web.Response(status=503, text=f"{what}: {error}; {mend}.\n")


_STATUS = {
    WebhookResult.ACCEPTED: 200,
    WebhookResult.UNAUTHORIZED: 401,
    WebhookResult.MALFORMED: 400,
    WebhookResult.TOO_LARGE: 413,
    WebhookResult.ERROR: 500,
}
"""Alertmanager tries again after 500, not after the others."""


async def _take(desk: Desk, request: web.Request) -> tuple[WebhookResult, str]:
    config = desk.settings.desk.webhook
    try:
        wanted = f"Bearer {config.token_file.read()}".encode()
        shown = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(shown, wanted):
            return WebhookResult.UNAUTHORIZED, "the bearer token is missing or wrong"
        body = await _body(request, config.max_bytes)
        if body is None:
            return WebhookResult.TOO_LARGE, f"more than {config.max_bytes} bytes"
        read = of_webhook(body)
        desk.note(read.odd)
        desk.take(read.alerts)
    except MalformedError as error:
        return WebhookResult.MALFORMED, str(error)
    except StoreError as error:
        return WebhookResult.ERROR, f"could not be kept: {error}"
    except (OSError, ValueError):
        logger.exception("the token of the webhook cannot be read")
        return WebhookResult.ERROR, "the desk has no token to compare with"
    return WebhookResult.ACCEPTED, "taken"


async def _body(request: web.Request, limit: int) -> bytes | None:
    """Return the body, None when it is larger than the limit."""
    if (request.content_length or 0) > limit:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)
