"""The sink over HTTP: Slack's and PagerDuty's endpoints, the pages, and the messages as JSON."""

import datetime
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from demo.health import add_health
from demo.sink import pagerduty, slack
from demo.sink.message import CHANNELS, Message
from demo.sink.pace import Pace
from demo.sink.page import incidents_page, messages_page
from demo.sink.store import Store

MAX_BODY_BYTES = 1024 * 1024
STYLE = Path(__file__).with_name("page.css")
SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
)


class Sink:
    """Handlers over one store."""

    def __init__(self, store: Store, slack_path: str, routing_key: str, pace: Pace) -> None:
        self._store = store
        self._slack_path = slack_path
        self._routing_key = routing_key
        self._pace = pace

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[safe])
        app.router.add_post("/services/{path:.*}", self.slack)
        app.router.add_post("/v2/enqueue", self.pagerduty)
        app.router.add_get("/", self.messages_page)
        app.router.add_get("/pagerduty", self.incidents_page)
        app.router.add_get("/messages", self.messages)
        app.router.add_get(r"/messages/{id:\d{1,9}}/html", self.mail)
        app.router.add_get("/page.css", style)
        add_health(app)
        return app

    async def slack(self, request: web.Request) -> web.Response:
        """Take a message as Slack's incoming webhooks do."""
        refused = slack.refusal_of_path(request.path, self._slack_path)
        if refused:
            status, reason = refused
            self._store.add(Message("slack", "request to an unknown webhook", refusal=reason))
            return web.Response(status=status, text=reason)
        wait = self._pace.wait_seconds()
        if wait:
            self._store.add(Message("slack", "too many messages", refusal="rate_limited"))
            return web.Response(status=429, text="rate_limited", headers={"Retry-After": str(wait)})
        body = await request.read()
        payload = slack.parse(body, request.content_type)
        reason = "invalid_payload" if payload is None else slack.refusal(payload)
        if payload is None:
            self._store.add(Message("slack", "not JSON", refusal=reason, raw=body[:1000].decode("utf-8", "replace")))
        else:
            self._store.add(slack.read(payload, reason))
        return web.Response(status=400 if reason else 200, text=reason or "ok")

    async def pagerduty(self, request: web.Request) -> web.Response:
        """Take an event as PagerDuty's Events API v2 does."""
        body = await request.read()
        event = pagerduty.parse(body)
        if len(body) > pagerduty.MAX_EVENT_BYTES:
            return self._invalid(Message("pagerduty", "too large"), ["Event is larger than 512 KB"], 413)
        if event is None:
            raw = body[:1000].decode("utf-8", "replace")
            return self._invalid(Message("pagerduty", "not JSON", raw=raw), ["Event is not a JSON object"])
        dedup_key = str(event.get("dedup_key") or secrets.token_hex(16))
        errors = pagerduty.errors(event, self._routing_key)
        message = pagerduty.read(event, dedup_key)
        if errors:
            return self._invalid(message, errors)
        self._store.add(message)
        answer = {"status": "success", "message": "Event processed", "dedup_key": dedup_key}
        return web.json_response(answer, status=202)

    def _invalid(self, message: Message, errors: list[str], status: int = 400) -> web.Response:
        self._store.add(replace(message, refusal="; ".join(errors)))
        answer = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return web.json_response(answer, status=status)

    async def messages(self, request: web.Request) -> web.Response:
        """Return messages as JSON, oldest first: ?channel=slack, ?since=<Unix seconds or ISO 8601>, ?after=<id>."""
        channel = request.query.get("channel", "")
        if channel not in ("", *CHANNELS):
            raise web.HTTPBadRequest(text=f"channel is one of: {', '.join(CHANNELS)}\n")
        try:
            since, after = _moment(request.query.get("since", "0")), int(request.query.get("after", "0"))
        except ValueError:
            raise web.HTTPBadRequest(text="since is Unix seconds or ISO 8601, after is the id of a message\n") from None
        found = self._store.all(channel, since, after)
        return web.json_response({"messages": [message.document() for message in found]})

    async def messages_page(self, request: web.Request) -> web.Response:
        """Show messages."""
        view, everything = request.query.get("channel", ""), self._store.all()
        shown = [message for message in everything if view in ("", message.channel)]
        if view == "refused":
            shown = [message for message in everything if message.refusal]
        page = messages_page(shown, view, len(everything), time.time(), is_paused="pause" in request.query)
        return html(page)

    async def incidents_page(self, request: web.Request) -> web.Response:
        """Show what PagerDuty would make of its events."""
        accepted = [message for message in self._store.all("pagerduty") if not message.refusal]
        page = incidents_page(pagerduty.incidents(accepted), time.time(), is_paused="pause" in request.query)
        return html(page)

    async def mail(self, request: web.Request) -> web.Response:
        """Return the HTML of a mail under a policy that lets it do nothing but look."""
        message = self._store.get(int(request.match_info["id"]))
        if message is None or not message.html:
            raise web.HTTPNotFound(text="no such mail\n")
        headers = {"Content-Security-Policy": MAIL_POLICY}
        return html(f'<base target="_blank">{message.html}', headers)


@web.middleware
async def safe(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Add the security headers to every answer that has none of its own."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(SAFE)
        raise
    for name, value in SAFE.items():
        response.headers.setdefault(name, value)
    return response


def html(page: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a page; half a surrogate pair, which JSON may hold, is shown as a question mark."""
    return web.Response(
        body=page.encode("utf-8", "replace"), content_type="text/html", charset="utf-8", headers=headers
    )


async def style(_request: web.Request) -> web.Response:
    """Return the style sheet."""
    return web.Response(text=STYLE.read_text(encoding="utf-8"), content_type="text/css")


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.datetime.fromisoformat(text).timestamp()
