"""The desk's HTTP side: Alertmanager's webhook, the pages, metrics and health."""

import hmac
import logging
import sqlite3

from aiohttp import web

from contract.instruments import Instruments
from contract.pages.layout import secured
from contract.vocabulary import WebhookResult
from contract.web import Reloader, setup_admin
from incident_desk.alerts import MalformedError, of_webhook
from incident_desk.config import Settings
from incident_desk.desk import Desk
from incident_desk.pages import DeskPages

logger = logging.getLogger(__name__)

MAX_FORM_BYTES = 1024 * 1024


def make_app(desk: Desk, instruments: Instruments, reloader: Reloader[Settings]) -> web.Application:
    """Return the application of a running desk."""
    app = web.Application(middlewares=[secured(forms=True)], client_max_size=MAX_FORM_BYTES)
    setup_admin(
        app,
        registry=instruments.registry,
        instruments=instruments,
        is_ready=lambda: desk.has_asked,
        reloader=reloader,
    )

    async def alerts(request: web.Request) -> web.Response:
        result, text = await _take(desk, request)
        desk.numbers.notified(result)
        if result is not WebhookResult.ACCEPTED:
            logger.error("a notification was not taken", extra={"result": result, "problem": text})
        return web.Response(status=_STATUS[result], text=f"{text}\n")

    app.router.add_post("/alerts", alerts)
    DeskPages(desk).setup(app)
    return app


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
    except (sqlite3.Error, OSError, ValueError) as error:
        logger.exception("a notification could not be kept")
        return WebhookResult.ERROR, f"could not be kept: {type(error).__name__}"
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
