"""The desk's pages: what is open, one group to acknowledge, the history. Reading them changes nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from contract.networks import is_passed_on, is_within
from contract.pages.layout import Pages, add_style
from incident_desk import access, views
from incident_desk.access import Allowed, Asker, Refused
from incident_desk.desk import Desk

FOLDER = Path(__file__).parent / "templates"
REFRESH_SECONDS = 15
SHOWN = 200
"""Incidents on one page."""
KPI_SECONDS = 30 * 86400.0
MAX_ACKNOWLEDGED = 10_000
"""Incidents that one request may acknowledge."""
_OWN = (("open", "Open", "/"), ("history", "History", "/history"))


class DeskPages:
    """Handlers over one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pages = Pages(FOLDER, {"clock": views.clock, "lasted": lasted})

    def setup(self, app: web.Application) -> None:
        """Add the pages to an application."""
        add_style(app)
        app.router.add_get("/", self.open)
        app.router.add_get("/history", self.history)
        app.router.add_get("/incidents", self.documents)
        app.router.add_get("/acknowledge", self.group)
        app.router.add_post("/acknowledge", self.acknowledge)

    async def open(self, _request: web.Request) -> web.Response:
        """Show what is open, the worst and oldest first."""
        found = self._desk.store.open()
        found.sort(key=lambda each: (not each.waits, list(type(each.severity)).index(each.severity), each.started))
        return self._show("open.html", "open", rows=self._rows(found[:SHOWN]), total=len(found),
                          problem=self._desk.problem, refresh_seconds=REFRESH_SECONDS)  # fmt: skip

    async def history(self, _request: web.Request) -> web.Response:
        """Show the newest incidents with their times."""
        now = self._desk.clock()
        lately = self._desk.store.since(now - KPI_SECONDS)
        return self._show("history.html", "history", rows=self._rows(self._desk.store.newest(SHOWN)),
                          kpis=views.kpis(lately), opened=len(lately), days=round(KPI_SECONDS / 86400),
                          still_open=sum(each.is_open for each in lately))  # fmt: skip

    async def documents(self, request: web.Request) -> web.Response:
        """Return incidents as JSON: ?state=open for those that are, else the newest."""
        state = request.query.get("state", "all")
        if state not in ("open", "all"):
            raise web.HTTPBadRequest(text="state is open or all\n")
        found = self._desk.store.open() if state == "open" else self._desk.store.newest(5 * SHOWN)
        return web.json_response({"incidents": [views.document(each) for each in found]})

    async def group(self, request: web.Request) -> web.Response:
        """Show the incidents that a link asks for, with a form where somebody can take them on."""
        return self._group(request)

    def _group(self, request: web.Request, problems: Sequence[str] = ()) -> web.Response:
        found = views.matching(self._desk.store.open(), request.query)
        ended = [each for each in self._desk.store.newest(5 * SHOWN) if not each.is_open]
        asked = self._asker(request)
        verdict = access.judge(asked, self._desk.settings.desk.acknowledge)
        return self._show(
            "acknowledge.html",
            "",
            rows=self._rows(found[:SHOWN]),
            total=len(found),
            unacknowledged=[each.id for each in found if each.acknowledged is None],
            at_once=MAX_ACKNOWLEDGED,
            ended=self._rows(views.matching(ended, request.query)[:10]),
            refusal=verdict.reason if isinstance(verdict, Refused) else "",
            problems=problems,
            name=verdict.name if isinstance(verdict, Allowed) else None,
            query=request.rel_url.raw_query_string,
        )

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """Take on the incidents that are named: a form is led back to their page, a program gets JSON."""
        asked, config = self._asker(request), self._desk.settings.desk
        if not access.comes_from_own_page(asked, config.public_url):
            raise web.HTTPForbidden(text="this came from another website; open the desk's own page\n")
        verdict = access.judge(asked, config.acknowledge)
        if isinstance(verdict, Refused):
            return web.Response(status=verdict.status, text=f"{verdict.reason}\n")
        form = await request.post()
        by = verdict.name or access.clean(str(form.get("by", "")))
        chosen = [str(value) for value in form.getall("incident", [])][: MAX_ACKNOWLEDGED + 1]
        if not by or not 0 < len(chosen) <= MAX_ACKNOWLEDGED or not all(map(is_identity, chosen)):
            raise web.HTTPBadRequest(text="give a name as `by` and incidents by their numbers as `incident`\n")
        taken = [each.id for each in self._desk.acknowledge(map(int, chosen), by)]
        left = [each for each in dict.fromkeys(map(int, chosen)) if each not in taken]
        answer = views.untaken({each: self._desk.store.get(each) for each in left[:SHOWN]})
        if asked.is_program:
            status = 200 if taken else answer.status
            return web.json_response({"acknowledged": taken, "problems": answer.problems}, status=status)
        if answer.problems:
            page = self._group(request, answer.problems)
            page.set_status(200 if taken else answer.status)
            return page
        query = request.rel_url.raw_query_string
        raise web.HTTPSeeOther(f"/acknowledge?{query}" if query else "/")

    def _asker(self, request: web.Request) -> Asker:
        identity, peer = self._desk.settings.desk.acknowledge.identity, request.remote or ""
        is_by_proxy = identity is not None and is_within(peer, identity.trusted_proxies)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        return Asker(
            peer=peer,
            host=request.host,
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            bearer=credentials.strip() if scheme.lower() == "bearer" else None,
            is_forwarded=is_passed_on(request.headers),
            identity=request.headers.get(identity.header) if identity and is_by_proxy else None,
        )

    def _rows(self, found: list[Any]) -> list[dict[str, Any]]:
        now, escalations = self._desk.clock(), self._desk.settings.escalations
        return [views.row(each, escalations, now) for each in found]

    def _show(self, template: str, tab: str, **values: Any) -> web.Response:
        config = self._desk.settings.desk
        links = [*config.links.items()]
        if config.alertmanager.public_url:
            links.append(("Alertmanager", config.alertmanager.public_url))
        return self._pages.show(template, own=_OWN, tab=tab, links=links, now=self._desk.clock(),
                                unwritten=self._desk.unwritten, **values)  # fmt: skip


def is_identity(text: str) -> bool:
    """Whether a text is the number of an incident."""
    return text.isascii() and text.isdigit() and len(text) <= 15


def lasted(length: float) -> str:
    """Say how long in the two largest units: "36 s", "1 min 36 s", "2 h", "3 d 4 h"."""
    rest, parts = round(max(length, 0.0)), list[tuple[int, str]]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        parts += [(count, unit)] if count or parts else []
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"
